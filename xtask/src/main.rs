//! The command line of the workspace's tasks.

use std::process::{Command, ExitCode};

use xtask::root;
use xtask::step::{Runner, Step, is_installed};
use xtask::tidy;

const HELP: &str = "\
cargo xtask TASK

  ci               everything CI checks: fmt, tidy, lints, documents, tests, licences
  quick            before a commit: fmt, tidy, lints, unit tests, the suite on memory
  tidy [--report]  the rules of this repository; --report lists the longest files and functions
  docs             writes the generated parts of the documents again
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_fine = match words.as_slice() {
        ["ci"] => ci(),
        ["quick"] => quick(),
        ["docs"] => docs(),
        ["tidy"] => tidies().is_ok(),
        ["tidy", "--report"] => {
            eprint!("{}", tidy::report(&root()));
            tidies().is_ok()
        }
        ["help" | "--help" | "-h"] | [] => {
            eprint!("{HELP}");
            true
        }
        _ => {
            eprint!("there is no such task\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Cheap checks first. Lints and documents share one build of the dependencies (metadata only),
/// all kinds of test share the other.
fn ci() -> bool {
    let mut runner = Runner::new(root());
    fast_checks(&mut runner);
    runner.step(
        &Step::cargo("doc", "doc --workspace --no-deps --locked")
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    runner.step(&Step::cargo("build tests", "test --workspace --locked --no-run"));
    runner.step(&Step::cargo("test", "test --workspace --locked").env("INSTA_UPDATE", "no"));
    runner.check("shipped", "cargo tree -p ff-cli -e normal -i sqlx", ships_without_sqlx);
    deny(&mut runner);
    let is_fine = runner.finish();
    eprint!("\n{}", tidy::report(&root()));
    is_fine
}

/// Licences, sources and bans need no network; the advisories do, and are skipped without it.
fn deny(runner: &mut Runner) {
    if !is_installed("deny") {
        runner.note("deny: skipped, cargo-deny is not installed (cargo install cargo-deny)");
        return;
    }
    runner.step(&Step::cargo("deny", "deny check bans licenses sources"));
    if Step::cargo("fetch", "deny fetch db").succeeds(&root()).is_ok() {
        runner.step(&Step::cargo("advisories", "deny check advisories"));
    } else {
        runner.note("advisories: skipped, their database could not be fetched");
    }
}

fn quick() -> bool {
    let mut runner = Runner::new(root());
    fast_checks(&mut runner);
    runner.step(&Step::cargo("unit tests", "test --workspace --locked --lib --bins"));
    runner.step(&Step::cargo("suite", "test --locked -p ff-backend-memory --test conformance"));
    runner.finish()
}

fn fast_checks(runner: &mut Runner) {
    runner.step(&Step::cargo("fmt", "fmt --all --check"));
    runner.check("tidy", "cargo xtask tidy", tidies);
    runner.step(&Step::cargo("clippy", "clippy --workspace --all-targets --locked -- -D warnings"));
}

fn docs() -> bool {
    let mut runner = Runner::new(root());
    runner.step(
        &Step::cargo("lifecycle", "test -p ff-core --test lifecycle").env("UPDATE_DOCS", "1"),
    );
    runner.step(&Step::cargo("readme", "test -p xtask --test readme").env("UPDATE_DOCS", "1"));
    runner.finish()
}

fn tidies() -> Result<(), String> {
    let findings = tidy::findings(&root());
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("1 finding".to_owned()),
        many => Err(format!("{many} findings")),
    }
}

/// The sqlx pool is for tests and tools; the binary does without.
fn ships_without_sqlx() -> Result<(), String> {
    let tree = Command::new("cargo")
        .args(["tree", "--locked", "-p", "ff-cli", "-e", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .map_err(|error| error.to_string())?;
    if !tree.status.success() {
        return Err(String::from_utf8_lossy(&tree.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&tree.stdout);
    match text.lines().find(|line| line.starts_with("sqlx")) {
        Some(line) => Err(format!("the binary links {line}")),
        None => Ok(()),
    }
}
