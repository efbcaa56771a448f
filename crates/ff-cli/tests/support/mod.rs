//! A store in a temporary directory, the binary on it, and waiting without sleeping blindly.

#![expect(dead_code, reason = "each test file uses its part of it")]
#![expect(clippy::unwrap_used, reason = "a test ends where its ground gives way")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store of its own.
pub(crate) struct Store {
    pub(crate) dir: TempDir,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `ff` with these arguments, in the store's directory.
    pub(crate) fn ff(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ff"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("NO_COLOR")
            .env_remove("FF_LOG")
            .env_remove("FF_PAYLOAD_LIMIT")
            .env_remove("FF_RESULT_LIMIT")
            .env("FF_STORE", "sqlite:./test.db")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `ff` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.ff(args).output().unwrap())
    }

    /// Runs `ff` with these bytes on stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Answer {
        let mut child = self.ff(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // A command that refuses its arguments reads nothing.
        let _ = pipe.write_all(stdin);
        drop(pipe);
        Answer::of(child.wait_with_output().unwrap())
    }

    /// Submits one execution and answers its id.
    pub(crate) fn submit(&self, args: &[&str]) -> String {
        let mut line = vec!["submit"];
        line.extend(args);
        self.run(&line).ok().trim().to_owned()
    }

    /// Works until nothing is claimable, with a shell script as the command.
    pub(crate) fn work(&self, script: &str) -> Answer {
        self.run(&["work", "--until-empty", "--", "sh", "-c", script])
    }

    /// Starts a worker that goes on until it is stopped.
    pub(crate) fn worker(&self, flags: &[&str], script: &str) -> Process {
        let mut line = vec!["work"];
        line.extend(flags);
        line.extend(["--", "sh", "-c", script]);
        Process(self.ff(&line).stderr(Stdio::null()).spawn().unwrap())
    }

    /// As [`Self::worker`], with its stderr in the file that is answered too.
    pub(crate) fn told_worker(&self, flags: &[&str], script: &str) -> (Process, PathBuf) {
        let path = self.path("worker.err");
        let file = std::fs::File::create(&path).unwrap();
        let mut line = vec!["work"];
        line.extend(flags);
        line.extend(["--", "sh", "-c", script]);
        (Process(self.ff(&line).stderr(file).spawn().unwrap()), path)
    }

    /// One execution as JSON.
    pub(crate) fn get(&self, id: &str) -> Value {
        self.run(&["exec", "get", id, "--json"]).json()
    }

    /// Waits until the execution is in this state.
    pub(crate) fn wait_for_state(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        eventually(&format!("{id} is {state}"), || {
            last = self.get(id);
            last["public_state"] == state
        });
        last
    }

    pub(crate) fn verify(&self) {
        self.run(&["verify"]).ok();
    }
}

/// What a run of `ff` left.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            stdout: output.stdout,
        }
    }

    /// The stdout of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// The stderr of a failure with this exit code.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self.err
    }

    /// The JSON document of a success.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// A process that is killed when the test ends.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// As [`Self::signal`], and nothing to a process that has ended.
    pub(crate) fn signal_if_running(&mut self, name: &str) {
        if self.0.try_wait().unwrap().is_none() {
            self.signal(name);
        }
    }

    /// Waits for the end and answers the exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let mut code = None;
        eventually("the process ends", || {
            code = self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1));
            code.is_some()
        });
        code.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks again and again until it holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let pause = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while !holds() {
        assert!(waited < PATIENCE, "it does not come true: {what}");
        std::thread::sleep(pause);
        waited += pause;
    }
}

/// Whether a process runs; one that ended and is not waited for does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Whether a process has been stopped: a signal to stop is not obeyed in the moment it is sent.
pub(crate) fn is_stopped(pid: &str) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('T'))
}

/// The lines of a file that a command writes, empty while it is not there.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap_or_default()
}
