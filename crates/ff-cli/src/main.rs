//! `ff`: FlowFabric on one machine, without a server.

mod command;
mod confirm;
mod duration;
mod error;
mod filter;
mod flow;
mod id;
mod output;
mod policy;
mod process;
mod signals;
mod store;
mod time;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use ff_core::machine::Limits;
use ff_core::machine::limits::PAYLOAD_CEILING_BYTES;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Exit, Result};
use crate::output::{Format, Output, colors};
use crate::store::Location;

/// A durable execution engine on one SQLite file.
///
/// Submit work, run any command on it, and lose nothing: not when a worker is killed, not when the
/// machine stops. Attempts are at least once, state transitions exactly once.
#[derive(Debug, Parser)]
#[command(name = "ff", version, infer_subcommands = true, max_term_width = 100, after_help = EXITS)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "\
Exit codes: 0 ok · 1 error · 2 usage · 3 not found · 4 conflict · 5 execution failed (with --wait)
            6 timed out · 130 interrupted";

#[derive(Debug, Args)]
struct Global {
    /// Where the executions live: `sqlite:PATH`, or `sqlite::memory:` for this process only.
    #[arg(
        long,
        global = true,
        env = "FF_STORE",
        value_name = "URL",
        default_value = "sqlite:./flowfabric.db",
        help_heading = "Global options"
    )]
    store: String,
    /// Answer with JSON; errors too, on stderr. What is asked of several ids answers a list.
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// How to answer.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        conflicts_with = "json",
        help_heading = "Global options"
    )]
    output: Option<Format>,
    /// Say only what was asked for: ids, no progress, no log.
    #[arg(short, long, global = true, help_heading = "Global options")]
    quiet: bool,
    /// Largest payload this process submits, at most 16MiB.
    #[arg(
        long,
        global = true,
        env = "FF_PAYLOAD_LIMIT",
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = parse_limit,
        help_heading = "Global options"
    )]
    payload_limit: usize,
    /// Largest result this process stores, at most 16MiB.
    #[arg(
        long,
        global = true,
        env = "FF_RESULT_LIMIT",
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = parse_limit,
        help_heading = "Global options"
    )]
    result_limit: usize,
}

fn parse_limit(text: &str) -> Result<usize, String> {
    match duration::parse_size(text)? {
        0 => Err("give at least 1B".to_owned()),
        size if size > PAYLOAD_CEILING_BYTES => Err("no limit can be above 16MiB".to_owned()),
        size => Ok(size),
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the engine lose nothing: hash a directory's files while a worker is killed.
    Demo(command::demo::DemoArgs),
    /// Submit one execution, or many from a file.
    Submit(Box<command::submit::SubmitArgs>),
    /// Run a command on every execution of a lane.
    Work(command::work::WorkArgs),
    /// Look at executions and steer them.
    #[command(subcommand, aliases = ["e", "execs", "execution", "executions"])]
    Exec(command::exec::ExecCommand),
    /// Run graphs of work, follow and draw them.
    #[command(subcommand, alias = "flows")]
    Flow(command::flow::FlowCommand),
    /// See what waits for people, and answer it.
    #[command(subcommand, alias = "waits")]
    Wait(command::wait::WaitCommand),
    /// Bound what may be spent, and see what was.
    #[command(subcommand, alias = "budgets")]
    Budget(command::budget::BudgetCommand),
    /// Bound how many run at a time, and how many start in a while.
    #[command(subcommand, alias = "quotas")]
    Quota(command::quota::QuotaCommand),
    /// Look at lanes and pause them.
    #[command(subcommand, alias = "lanes")]
    Lane(command::lane::LaneCommand),
    /// See what operators changed: priorities, replays, cancels of flows.
    #[command(subcommand, alias = "events")]
    Event(command::event::EventCommand),
    /// See who works on this store.
    #[command(subcommand, alias = "workers")]
    Worker(command::worker::WorkerCommand),
    /// Inside a command that `ff work` runs: say how it goes, stream, spend, wait.
    #[command(subcommand)]
    Task(command::task::TaskCommand),
    /// Check every invariant of the store, row by row.
    Verify,
    /// Copy the store to a file while others work on it.
    Backup(command::backup::BackupArgs),
    /// Measure the engine beside raw SQLite, on your disk.
    Bench(command::bench::BenchArgs),
    /// Print the completion script for a shell.
    Completion(command::completion::CompletionArgs),
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // The helper is started for every attempt, so it comes before everything that costs time.
    match args.next() {
        Some(word) if word == process::HELPER => return ExitCode::from(process::run_helper(args)),
        Some(word) if word == process::STAGE => return ExitCode::from(process::run_stage(args)),
        Some(word) if word == command::demo::TASK => {
            return ExitCode::from(command::demo::run_task());
        }
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_arguments(&error),
    };
    let output = Output::new(cli.global.output, cli.global.json, cli.global.quiet);
    let filter = match log_filter(std::env::var_os("FF_LOG")) {
        Ok(filter) => filter,
        Err(error) => return report(&error, output.is_json()),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colors(std::io::stderr().is_terminal()))
        .init();
    match run(cli, output) {
        Ok(exit) => exit,
        Err(error) => report(&error, output.is_json()),
    }
}

/// What is logged: errors, unless `FF_LOG` says otherwise.
fn log_filter(wanted: Option<OsString>) -> Result<EnvFilter> {
    let wanted = wanted.filter(|text| !text.is_empty()).unwrap_or_else(|| "error".into());
    let shown = wanted.to_string_lossy();
    EnvFilter::try_new(&shown).map_err(|error| {
        Error::usage(format!("FF_LOG is `{shown}`, which is no log filter"))
            .why(error.to_string())
            .fix("write a level, for example FF_LOG=warn, or unset it")
    })
}

fn run(cli: Cli, output: Output) -> Result<ExitCode> {
    let limits = Limits {
        payload_bytes: cli.global.payload_limit,
        result_bytes: cli.global.result_limit,
        ..Limits::default()
    };
    let location = Location { url: cli.global.store, limits };
    match cli.command {
        Command::Completion(args) => {
            command::completion::run::<Cli>(&args, output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(args) => command::bench::run(output, args),
        command => on_store(command, &location, output),
    }
}

fn on_store(command: Command, location: &Location, output: Output) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::io("start the runtime", &error))?;
    let answer = runtime.block_on(async {
        match command {
            // These two stop in their own way.
            Command::Work(args) => command::work::run(location, output, args).await,
            Command::Demo(args) => command::demo::run(location, output, args).await,
            Command::Submit(args) => {
                interruptible(command::submit::run(location, output, *args)).await
            }
            Command::Exec(command) => {
                interruptible(command::exec::run(location, output, command)).await
            }
            Command::Flow(command) => {
                interruptible(command::flow::run(location, output, command)).await
            }
            Command::Wait(command) => {
                interruptible(command::wait::run(location, output, command)).await
            }
            Command::Budget(command) => {
                interruptible(command::budget::run(location, output, command)).await
            }
            Command::Quota(command) => {
                interruptible(command::quota::run(location, output, command)).await
            }
            Command::Event(command) => {
                interruptible(command::event::run(location, output, command)).await
            }
            Command::Worker(command) => {
                interruptible(command::worker::run(location, output, command)).await
            }
            Command::Task(command) => {
                interruptible(command::task::run(location, output, command)).await
            }
            Command::Lane(command) => {
                interruptible(command::lane::run(location, output, command)).await
            }
            Command::Verify => interruptible(command::verify::run(location, output)).await,
            Command::Backup(args) => {
                interruptible(command::backup::run(location, output, args)).await
            }
            Command::Completion(_) | Command::Bench(_) => {
                unreachable!("these two open no store and are run before")
            }
        }
    });
    // A blocking read of stdin would hold the process until its next byte.
    runtime.shutdown_background();
    answer
}

/// Runs a command until Ctrl-C or SIGTERM. What the engine has acknowledged by then stays.
async fn interruptible<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| Error::io("listen for signals", &error))?;
    let interrupted = || {
        Error::new(Exit::Interrupted, "interrupted", "interrupted")
            .why("a signal ended the command; what was acknowledged before it stays")
    };
    tokio::select! {
        answer = command => answer,
        _ = tokio::signal::ctrl_c() => Err(interrupted()),
        _ = terminated.recv() => Err(interrupted()),
    }
}

/// Tells an error on stderr and answers its exit code.
fn report(error: &Error, json: bool) -> ExitCode {
    let text = if json {
        format!("{}\n", error.json())
    } else {
        error.human(colors(std::io::stderr().is_terminal()))
    };
    // Nothing is left to tell when stderr is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(error.exit.code())
}

fn refuse_arguments(error: &clap::Error) -> ExitCode {
    let args: Vec<_> = std::env::args_os().take_while(|arg| arg != "--").collect();
    let asked_for_json =
        args.iter().any(|arg| arg == "--json" || arg == "-ojson" || arg == "--output=json")
            || args
                .windows(2)
                .any(|pair| (pair[0] == "-o" || pair[0] == "--output") && pair[1] == "json");
    let informs = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !asked_for_json || informs {
        // A closed stdout or stderr leaves nobody to tell.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let rest: Vec<_> = lines.filter(|line| !line.starts_with("For more information")).collect();
    let mut refusal = Error::usage(what).fix("`ff help` shows the commands and their flags");
    if !rest.is_empty() {
        refusal = refusal.why(rest.join("; "));
    }
    report(&refusal, true)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nouns_may_be_plural_and_verbs_may_be_short() {
        for line in ["ff exec list", "ff execs list", "ff executions li", "ff e l"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(
                matches!(cli.command, Command::Exec(command::exec::ExecCommand::List(_))),
                "{line}"
            );
        }
        assert!(Cli::try_parse_from(["ff", "lanes", "pause", "x"]).is_ok());
        assert!(Cli::try_parse_from(["ff", "submit", "k", "--delay", "30"]).is_err());
        assert!(Cli::try_parse_from(["ff", "work", "--lane", "a,b", "--", "cat"]).is_ok());
        assert!(Cli::try_parse_from(["ff", "work"]).is_err());
    }

    #[test]
    fn a_log_filter_that_is_none_is_refused() {
        assert!(log_filter(None).is_ok() && log_filter(Some("".into())).is_ok());
        assert!(log_filter(Some("ff_cli=debug".into())).is_ok());
        let error = log_filter(Some("ff_cli=loud".into())).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
    }

    #[test]
    fn a_limit_has_a_unit_and_a_ceiling() {
        assert_eq!(parse_limit("16MiB"), Ok(16 << 20));
        assert!(parse_limit("17MiB").is_err() && parse_limit("0B").is_err());
    }
}
