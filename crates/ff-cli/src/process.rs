//! Running COMMAND so that it never outlives its worker.
//!
//! ```text
//! worker ── spawns ──▶ helper (`ff __run`, leader of its own process group)
//!                        └── spawns ──▶ stage (`ff __exec`) ── execs ──▶ COMMAND
//!                                       (same process, same group, same stdio)
//! ```
//!
//! The helper asks the kernel for a signal when its parent dies, checks that the parent is still the
//! one it was started by, and only then starts COMMAND. When that signal comes it kills the whole
//! group, itself included. The kernel sends it when the parent *thread* ends, so all helpers are
//! started by one thread that lives as long as the worker.
//!
//! A signal to the group reaches both; the helper catches what COMMAND should act on, and its handlers
//! are gone in COMMAND because an exec resets them. The helper ends with COMMAND's exit code, 128 + n
//! for signal n. What is left of the group then is killed by the worker.
//!
//! The stage asks the kernel to kill it when the helper dies, which an exec keeps: COMMAND ends even when
//! worker and helper are killed at once. What COMMAND started itself is then not reached.
//!
//! What leaves the group (`setsid`) leaves this supervision.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// The hidden subcommand that is the helper.
pub(crate) const HELPER: &str = "__run";

/// The hidden subcommand that becomes COMMAND.
pub(crate) const STAGE: &str = "__exec";

/// How much of the end of stderr is kept as a reason, in bytes.
const STDERR_TAIL: usize = 8 * 1024;

/// How long pipes are read on after the group is gone: only a process that left the group can hold one.
const DRAIN: Duration = Duration::from_secs(1);

/// What a shell answers for a command that is not there, and for one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// One run of COMMAND.
#[derive(Debug)]
pub(crate) struct Task {
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// Added to the worker's environment.
    pub(crate) env: Vec<(&'static str, OsString)>,
    /// What it reads.
    pub(crate) stdin: Vec<u8>,
    /// Most bytes it may write to stdout.
    pub(crate) stdout_max: usize,
    /// Whether its stderr is shown.
    pub(crate) show_stderr: bool,
}

/// This program's own file, also after it was replaced on disk.
pub(crate) fn own_program() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && link.exists() {
        return link;
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ff"))
}

struct Request {
    command: Command,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// The thread that starts helpers. Dropping it ends every one that still runs.
#[derive(Debug)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    /// Starts the thread; needs a Tokio runtime.
    pub(crate) fn start() -> io::Result<Self> {
        let (requests, received) = mpsc::channel::<Request>();
        let runtime = tokio::runtime::Handle::current();
        thread::Builder::new().name("ff-spawn".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            for mut request in received {
                // Nobody waits for the answer any more when the worker is on its way out.
                let _ = request.answer.send(request.command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts COMMAND under a helper.
    pub(crate) async fn spawn(&self, task: Task) -> io::Result<Running> {
        let mut command = Command::new(own_program());
        command
            .arg0("ff")
            .arg(HELPER)
            .arg(std::process::id().to_string())
            .args(&task.argv)
            .envs(task.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts commands has ended");
        self.requests.send(Request { command, answer }).map_err(|_| gone())?;
        let child = answered.await.map_err(|_| gone())??;
        Running::new(child, task)
    }
}

/// What happens first to a running command.
#[derive(Debug)]
pub(crate) enum Event {
    /// It ended.
    Ended(ExitStatus),
    /// It wrote more than it may.
    TooLarge,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Left {
    /// What it wrote to stdout, up to the limit.
    pub(crate) stdout: Vec<u8>,
    /// Whether it wrote more than the limit.
    pub(crate) too_large: bool,
    /// Why stdout is not all there.
    pub(crate) unread: Option<String>,
    /// The end of what it wrote to stderr.
    pub(crate) stderr_tail: String,
}

#[derive(Debug, Default)]
struct Stdout {
    bytes: Vec<u8>,
    too_large: bool,
    unread: Option<String>,
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Pid,
    stdin: JoinHandle<()>,
    stdout: Arc<Mutex<Stdout>>,
    reading_stdout: JoinHandle<()>,
    overflow: Arc<Notify>,
    stderr: Arc<Mutex<Vec<u8>>>,
    reading_stderr: JoinHandle<()>,
}

impl Running {
    fn new(mut child: Child, task: Task) -> io::Result<Self> {
        let missing = || io::Error::other("the command has no process id or pipes");
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(missing)?;
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let collected = Arc::new(Mutex::new(Stdout::default()));
        let overflow = Arc::new(Notify::new());
        let tail = Arc::new(Mutex::new(Vec::new()));
        Ok(Self {
            child,
            group,
            stdin: tokio::spawn(feed(stdin, task.stdin)),
            reading_stdout: tokio::spawn(collect(
                stdout,
                Arc::clone(&collected),
                task.stdout_max,
                Arc::clone(&overflow),
            )),
            stdout: collected,
            overflow,
            reading_stderr: tokio::spawn(follow(stderr, Arc::clone(&tail), task.show_stderr)),
            stderr: tail,
        })
    }

    /// Waits until it ends or writes too much. May be dropped and called again.
    pub(crate) async fn event(&mut self) -> io::Result<Event> {
        tokio::select! {
            status = self.child.wait() => status.map(Event::Ended),
            () = self.overflow.notified() => Ok(Event::TooLarge),
        }
    }

    /// Asks the whole group to end, waits for `grace`, then kills it.
    pub(crate) async fn terminate(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills the whole group at once.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "cannot wait for a killed command");
        }
    }

    fn signal(&self, signal: Signal) {
        // An error means that nobody is left to hear it.
        let _ = rustix::process::kill_process_group(self.group, signal);
    }

    /// Kills what is left of the group and takes what was written.
    pub(crate) async fn finish(self) -> Left {
        self.signal(Signal::KILL);
        self.stdin.abort();
        for reading in [self.reading_stdout, self.reading_stderr] {
            let abort = reading.abort_handle();
            if tokio::time::timeout(DRAIN, reading).await.is_err() {
                abort.abort();
            }
        }
        let stdout = std::mem::take(&mut *lock(&self.stdout));
        let stderr = std::mem::take(&mut *lock(&self.stderr));
        Left {
            stdout: stdout.bytes,
            too_large: stdout.too_large,
            unread: stdout.unread,
            stderr_tail: String::from_utf8_lossy(&stderr).trim().to_owned(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command need not read its payload: a closed pipe is no failure.
async fn feed(mut stdin: ChildStdin, payload: Vec<u8>) {
    if stdin.write_all(&payload).await.is_ok() {
        let _ = stdin.shutdown().await;
    }
}

async fn collect(
    mut stdout: ChildStdout,
    collected: Arc<Mutex<Stdout>>,
    max: usize,
    overflow: Arc<Notify>,
) {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = match stdout.read(&mut chunk).await {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) => {
                lock(&collected).unread = Some(error.to_string());
                return;
            }
        };
        let mut stdout = lock(&collected);
        if stdout.bytes.len() + read > max {
            stdout.too_large = true;
            drop(stdout);
            overflow.notify_one();
            return;
        }
        stdout.bytes.extend_from_slice(&chunk[..read]);
    }
}

async fn follow(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>, show: bool) {
    let mut chunk = vec![0; 8 * 1024];
    loop {
        let Ok(read @ 1..) = stderr.read(&mut chunk).await else { return };
        if show {
            use std::io::Write as _;
            // The worker's own stderr may be closed; the command goes on all the same.
            let _ = io::stderr().lock().write_all(&chunk[..read]);
        }
        let mut tail = lock(&tail);
        tail.extend_from_slice(&chunk[..read]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}

/// How an exit reads: `exit code 3`, `killed by signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code @ 129..=192), _) => format!("exit code {code}, as for signal {}", code - 128),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The helper: runs `COMMAND ARGS…` after the parent's process id, and answers the exit code.
pub(crate) fn run_helper(args: impl IntoIterator<Item = OsString>) -> u8 {
    let Some((parent, program, args)) = parent_and_command(args) else {
        return started_by_nobody(HELPER);
    };
    if let Err(error) = die_with_parent() {
        eprintln!("ff: cannot watch the worker: {error}");
        return NOT_EXECUTABLE;
    }
    // The parent may have died before the signal was asked for; then it never comes.
    if rustix::process::getppid() != Some(parent) {
        return crate::error::Exit::Interrupted.code();
    }
    let started = own_command()
        .arg(STAGE)
        .arg(std::process::id().to_string())
        .arg(&program)
        .args(args)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("ff: cannot start `{}`: {error}", program.display());
            return NOT_EXECUTABLE;
        }
    };
    match child.wait() {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("ff: cannot wait for `{}`: {error}", program.display());
            NOT_EXECUTABLE
        }
    }
}

/// The parent's process id, the program and its arguments.
fn parent_and_command<I: IntoIterator<Item = OsString>>(
    args: I,
) -> Option<(Pid, OsString, I::IntoIter)> {
    let mut args = args.into_iter();
    let parent = Pid::from_raw(args.next()?.to_str()?.parse().ok()?)?;
    Some((parent, args.next()?, args))
}

fn started_by_nobody(word: &str) -> u8 {
    eprintln!("ff: `{word}` is started by `ff work` only");
    crate::error::Exit::Usage.code()
}

/// The stage: becomes `COMMAND ARGS…` after the helper's process id; answers only when it cannot.
pub(crate) fn run_stage(args: impl IntoIterator<Item = OsString>) -> u8 {
    let Some((parent, program, args)) = parent_and_command(args) else {
        return started_by_nobody(STAGE);
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("ff: cannot watch the helper: {error}");
        return NOT_EXECUTABLE;
    }
    // The helper may have died before the signal was asked for; then it never comes.
    if rustix::process::getppid() != Some(parent) {
        return crate::error::Exit::Interrupted.code();
    }
    let error = std::process::Command::new(&program).args(args).exec();
    eprintln!("ff: cannot run `{}`: {error}", program.display());
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

/// The code that stands for a status: 128 + n for signal n.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(NOT_EXECUTABLE)
}

/// Kills the group when the parent dies, and catches what is meant for COMMAND.
fn die_with_parent() -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT, SIGQUIT])?;
    thread::Builder::new().name("ff-watch".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                kill_own_group();
            }
        }
    })?;
    ask_for_death_signal()
}

fn kill_own_group() {
    let _ = rustix::process::kill_process_group(rustix::process::getpid(), Signal::KILL);
}

#[cfg(target_os = "linux")]
fn ask_for_death_signal() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::HUP))?)
}

/// Without such a signal the parent is looked at every half second.
#[cfg(not(target_os = "linux"))]
fn ask_for_death_signal() -> io::Result<()> {
    let parent = rustix::process::getppid();
    thread::Builder::new().name("ff-parent".to_owned()).spawn(move || {
        while rustix::process::getppid() == parent {
            thread::sleep(Duration::from_millis(500));
        }
        kill_own_group();
    })?;
    Ok(())
}

/// Starts this program as another process of its own, as `ff` with these arguments.
pub(crate) fn own_command() -> std::process::Command {
    let mut command = std::process::Command::new(own_program());
    command.arg0("ff");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(raw: i32) -> ExitStatus {
        ExitStatus::from_raw(raw)
    }

    #[test]
    fn an_exit_is_mirrored_and_a_signal_is_128_more() {
        assert_eq!(exit_code(status(0)), 0);
        assert_eq!(exit_code(status(3 << 8)), 3);
        assert_eq!(exit_code(status(9)), 137);
        assert_eq!(describe(status(3 << 8)), "exit code 3");
        assert_eq!(describe(status(9)), "killed by signal 9");
        assert_eq!(describe(status(137 << 8)), "exit code 137, as for signal 9");
    }

    #[test]
    fn a_helper_that_nobody_started_runs_nothing() {
        assert_eq!(run_helper([]), 2);
        assert_eq!(run_helper(["x".into(), "true".into()]), 2);
        assert_eq!(run_helper(["1".into()]), 2);
        assert_eq!(run_stage([]), 2);
        assert_eq!(run_stage(["x".into(), "true".into()]), 2);
        assert_eq!(run_stage(["1".into()]), 2);
    }
}
