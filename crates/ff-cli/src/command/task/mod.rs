//! `ff task`: what a command that `ff work` runs says to the engine while it runs.
//!
//! The command's environment carries the store and the handle of its lease, so any program in any
//! language is a full worker. What these commands print goes where the command's own output goes, which is
//! its result; so they print nothing that was not asked for.

mod emit;
mod park;
mod spawn;
mod spend;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use ff_core::backend::{Handle, HandleKind, HandleOpaque};
use ff_core::engine_backend::EngineBackend;
use ff_core::handle_codec::{self, HandlePayload};
use ff_core::types::ExecutionId;

use crate::error::{Error, Result, standing};
use crate::filter::is_ended;
use crate::id;
use crate::output::Output;
use crate::signals;
use crate::store::{Location, Purpose, Store};

/// The variable that carries the handle.
pub(crate) const HANDLE_VARIABLE: &str = "FF_HANDLE";

#[derive(Debug, Subcommand)]
#[command(infer_subcommands = true, after_help = TASK_HELP)]
pub(crate) enum TaskCommand {
    /// Say how far the work is.
    Progress(ProgressArgs),
    /// Stream frames: each line of stdin, or one text.
    Emit(emit::EmitArgs),
    /// Report spending against a budget.
    Spend(spend::SpendArgs),
    /// Give the lease back until somebody answers; the command is run again then.
    Suspend(park::SuspendArgs),
    /// Give the lease back for a while; the command is run again then.
    Delay(park::DelayArgs),
    /// Give the lease back until the joined children have ended; the command is run again then.
    WaitChildren,
    /// Open a waitpoint before suspending, and print its token for another system.
    Waitpoint(park::WaitpointArgs),
    /// Print the signals that this attempt was resumed by, as JSON.
    Signals,
    /// Submit a child, into the same flow if there is one.
    Spawn(Box<spawn::SpawnArgs>),
}

const TASK_HELP: &str = "\
These work inside a command that `ff work` runs; FF_STORE and FF_HANDLE in its environment say which
execution they are about.

  ff task progress 40 rendering
  make 2>&1 | ff task emit
  ff task spend tokens=120 || exit $?
  if [ -z \"$FF_SIGNALS_FILE\" ]; then ff task suspend --for approval --timeout 2d && exit; fi

After suspend, delay and wait-children the lease is gone: the exit code of the command ends nothing, and
it is soon ended if it goes on. When the wait is over the command runs again, in the same attempt; what
it was answered is in the file that FF_SIGNALS_FILE names, while there is something.

Exit codes beside the usual ones: 4 the lease is gone · 7 spent, above a soft limit · 8 not spent, a hard
limit is reached · 9 answered before it suspended, or no child is left to wait for: go on";

/// Says how far the work is.
#[derive(Debug, Args)]
pub(crate) struct ProgressArgs {
    /// How much is done.
    #[arg(value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100), required_unless_present = "message")]
    percent: Option<u8>,
    /// What is being done.
    message: Option<String>,
}

/// The execution that the command runs for.
pub(crate) struct Task {
    pub(crate) engine: Arc<dyn EngineBackend>,
    pub(crate) handle: Handle,
    pub(crate) about: HandlePayload,
}

/// Reads the handle that the worker has put into the environment.
fn handle() -> Result<(Handle, HandlePayload)> {
    let outside = |why: String| {
        Error::usage("this is not inside a task").why(why).fix(
            "`ff task` is run by a command that `ff work` runs: `ff work -- sh -c 'ff task progress 50'`",
        )
    };
    let text = std::env::var(HANDLE_VARIABLE)
        .map_err(|_| outside(format!("{HANDLE_VARIABLE} is not set")))?;
    let bytes = hex::decode(text.trim())
        .map_err(|error| outside(format!("{HANDLE_VARIABLE} is not a handle: {error}")))?;
    let opaque = HandleOpaque::new(bytes.into_boxed_slice());
    let decoded = handle_codec::decode(&opaque)
        .map_err(|error| outside(format!("{HANDLE_VARIABLE} is not a handle: {error}")))?;
    Ok((Handle::new(decoded.tag, HandleKind::Fresh, opaque), decoded.payload))
}

pub(crate) async fn run(
    location: &Location,
    output: Output,
    command: TaskCommand,
) -> Result<ExitCode> {
    let (handle, about) = handle()?;
    let store = Store::open(location, Purpose::Inspect).await?;
    let task = Task { engine: store.engine(), handle, about };
    let engine = store.engine();
    let execution = task.about.execution_id.clone();
    let answer = match command {
        TaskCommand::Progress(args) => progress(&task, args).await,
        TaskCommand::Emit(args) => emit::emit(&task, output, args).await,
        TaskCommand::Spend(args) => spend::spend(&task, output, args).await,
        TaskCommand::Suspend(args) => park::suspend(&task, output, args).await,
        TaskCommand::Delay(args) => park::delay(&task, &args).await,
        TaskCommand::WaitChildren => park::wait_children(&task).await,
        TaskCommand::Waitpoint(args) => park::waitpoint(&task, output, &args).await,
        TaskCommand::Signals => print_signals(&task, output).await,
        TaskCommand::Spawn(args) => {
            spawn::spawn(&task, output, *args, location.limits.payload_bytes).await
        }
    };
    let answer = match answer {
        Err(error) if LEASE_GONE.contains(&error.code) => {
            Err(lease_gone(engine.as_ref(), &execution, error).await)
        }
        answer => answer,
    };
    drop((task, engine));
    store.close().await;
    answer.map_err(|error| error.about(&execution))
}

/// The words of a refusal of whoever does not hold the lease any more.
const LEASE_GONE: [&str; 3] = ["stale_lease", "not_active", "already_ended"];

/// Tells where the execution stands now: the handle alone does not say what took its lease.
async fn lease_gone(engine: &dyn EngineBackend, execution: &ExecutionId, error: Error) -> Error {
    let Ok(state) = engine.read_execution_state(execution).await else { return error };
    let fix = if state.is_some_and(is_ended) {
        "let the command end; `ff exec get` shows how it ended"
    } else {
        "let the command end: its exit code ends nothing, and it is run again when its turn comes"
    };
    error.why(format!("the lease is gone: {}", standing(state))).fix(fix)
}

async fn progress(task: &Task, args: ProgressArgs) -> Result<ExitCode> {
    task.engine
        .progress(&task.handle, args.percent, args.message)
        .await
        .map_err(|error| Error::engine("record the progress", &error))?;
    Ok(ExitCode::SUCCESS)
}

async fn print_signals(task: &Task, output: Output) -> Result<ExitCode> {
    let signals = task
        .engine
        .observe_signals(&task.handle)
        .await
        .map_err(|error| Error::engine("read the signals", &error))?;
    output.json(&signals::list(&signals))?;
    Ok(ExitCode::SUCCESS)
}

/// What an execution's child carries, so that it can be found.
pub(crate) const PARENT_TAG: &str = "ff.parent";

/// The id of the execution as it is printed.
pub(crate) fn own_id(task: &Task) -> String {
    id::show(&task.about.execution_id)
}
