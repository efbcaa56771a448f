//! The parts that a process started by the benchmark plays.
//!
//! A child learns its part from [`CHILD_VARIABLE`] and speaks in lines of JSON on stdout. It ends
//! when its stdin does, so none outlives the benchmark.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{BenchError, Doing as _};
use crate::phase;

/// The environment variable that tells a process which part of a benchmark it plays.
pub const CHILD_VARIABLE: &str = "FF_BENCH_CHILD";

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Waits for work and starts it.
    Worker { database: PathBuf },
    /// Fills a lane and claims from it.
    Depth { directory: PathBuf, quick: bool },
}

/// The part this process plays; `None` for the benchmark itself.
pub(crate) fn part() -> Option<String> {
    env::var(CHILD_VARIABLE).ok()
}

/// Plays a part to its end.
pub(crate) fn play(part: &str) -> Result<(), BenchError> {
    thread::spawn(|| {
        // Whatever it says, its end means that nobody listens any more.
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    match serde_json::from_str(part).doing("read FF_BENCH_CHILD")? {
        Part::Worker { database } => phase::wake::work(&database),
        Part::Depth { directory, quick } => phase::depth::measure(&directory, quick),
    }
}

/// Says one thing to the benchmark.
pub(crate) fn say(what: &impl Serialize) -> Result<(), BenchError> {
    let line = serde_json::to_string(what).doing("write JSON")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).doing("write to the benchmark")
}

/// A child as the benchmark holds it. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Actor {
    child: Child,
    lines: Receiver<String>,
}

impl Actor {
    pub(crate) fn start(part: &Part) -> Result<Self, BenchError> {
        let program = env::current_exe().doing("find this program")?;
        let part = serde_json::to_string(part).doing("write JSON")?;
        let mut child = Command::new(program)
            .args(env::args_os().skip(1))
            .env(CHILD_VARIABLE, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing("start another process")?;
        let out = child.stdout.take().ok_or_else(|| BenchError::new("a child has no stdout"))?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Ok(Self { child, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next thing the child says; waits for it at most `patience`.
    pub(crate) fn hear<T: for<'de> Deserialize<'de>>(
        &self,
        patience: Duration,
    ) -> Result<T, BenchError> {
        let line = self.lines.recv_timeout(patience).map_err(|_| {
            BenchError::new(
                "a child of the benchmark fell silent: its own message is above, if it had one",
            )
        })?;
        serde_json::from_str(&line).doing("understand a child")
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Where the databases of a part lie.
pub(crate) fn database(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.db"))
}
