//! Steps: commands run one after another, with their times.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One command of a task.
#[derive(Debug, Clone)]
pub struct Step {
    name: &'static str,
    words: Vec<&'static str>,
    env: Vec<(&'static str, &'static str)>,
}

impl Step {
    /// A cargo command, as typed after `cargo`.
    pub fn cargo(name: &'static str, arguments: &'static str) -> Self {
        let words = std::iter::once("cargo").chain(arguments.split(' ')).collect();
        Self { name, words, env: Vec::new() }
    }

    /// Sets a variable for this step.
    #[must_use]
    pub fn env(mut self, key: &'static str, value: &'static str) -> Self {
        self.env.push((key, value));
        self
    }

    /// The line that runs this step alone, from the root of the workspace.
    pub fn line(&self) -> String {
        let settings = self.env.iter().map(|(key, value)| format!("{key}='{value}'"));
        settings
            .chain(self.words.iter().map(|word| (*word).to_owned()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs it in the workspace at `root`; why not, if it does not succeed.
    pub fn succeeds(&self, root: &Path) -> Result<(), String> {
        // The cargo that runs us, so that a toolchain chosen on its command line stays chosen.
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(program)
            .args(&self.words[1..])
            .envs(self.env.iter().copied())
            .current_dir(root)
            .status()
            .map_err(|error| format!("could not start: {error}"))?;
        if status.success() { Ok(()) } else { Err(status.to_string()) }
    }
}

/// Whether `cargo NAME` exists on this machine.
pub fn is_installed(name: &str) -> bool {
    Command::new("cargo")
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs steps and remembers how long each took. The first failure ends the task.
#[derive(Debug)]
pub struct Runner {
    root: PathBuf,
    started: Instant,
    done: Vec<(String, Duration)>,
    failed: Option<String>,
}

impl Runner {
    /// A task in the workspace at `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, started: now(), done: Vec::new(), failed: None }
    }

    /// Runs a command, unless something failed before.
    pub fn step(&mut self, step: &Step) {
        let root = self.root.clone();
        self.check(step.name, &step.line(), || step.succeeds(&root));
    }

    /// Runs a check of our own, unless something failed before. `line` runs it alone.
    pub fn check(&mut self, name: &str, line: &str, check: impl FnOnce() -> Result<(), String>) {
        if self.failed.is_some() {
            return;
        }
        eprintln!("\n==> {name}: {line}");
        let begun = now();
        let outcome = check();
        self.done.push((name.to_owned(), begun.elapsed()));
        if let Err(why) = outcome {
            eprintln!("\nFAILED: {name} ({why})\nrun it again with: {line}");
            self.failed = Some(name.to_owned());
        }
    }

    /// Says something that is not a step.
    pub fn note(&mut self, text: &str) {
        if self.failed.is_none() {
            eprintln!("\n==> {text}");
        }
    }

    /// Prints the times; whether everything succeeded.
    pub fn finish(self) -> bool {
        eprintln!("\n{:<14} {:>9}", "step", "seconds");
        for (name, took) in &self.done {
            let mark = if Some(name) == self.failed.as_ref() { "  FAILED" } else { "" };
            eprintln!("{name:<14} {:>9.1}{mark}", took.as_secs_f64());
        }
        eprintln!("{:<14} {:>9.1}", "all", self.started.elapsed().as_secs_f64());
        self.failed.is_none()
    }
}

#[expect(clippy::disallowed_methods, reason = "a task measures its own time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_the_line_that_runs_it_alone() {
        let step = Step::cargo("docs", "doc --no-deps").env("RUSTDOCFLAGS", "-D warnings");

        assert_eq!(step.line(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn nothing_runs_after_a_failure() {
        let mut runner = Runner::new(crate::root());
        let mut ran = Vec::new();

        runner.check("first", "-", || Ok(()));
        runner.check("second", "-", || Err("on purpose".to_owned()));
        runner.check("third", "-", || {
            ran.push("third");
            Ok(())
        });

        assert!(ran.is_empty());
        assert!(!runner.finish());
    }
}
