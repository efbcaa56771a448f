//! `ff task suspend|delay|wait-children|waitpoint`: giving the lease back, to be run again later.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ff_core::EngineError;
use ff_core::contracts::{
    self, CompositeBody, CountKind, EdgeGroupState, LeaseStanding, PendingWaitpointInfo,
    ResumeCondition, ResumePolicy, SignalMatcher, SuspendOutcome, SuspensionReasonCode,
    TimeoutBehavior, WaitpointBinding,
};
use ff_core::types::{SuspensionId, TimestampMs, WaitpointId};
use serde_json::json;

use crate::command::submit::engine_now;
use crate::command::task::{Task, own_id};
use crate::command::wait::open_waitpoints;
use crate::duration::parse_positive;
use crate::error::{Error, Exit, Result};
use crate::id;
use crate::output::{Format, Output};
use crate::time::millis;

/// What the work waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Signal,
    Approval,
    Callback,
    ToolResult,
    Review,
}

impl For {
    const fn code(self) -> SuspensionReasonCode {
        match self {
            Self::Signal => SuspensionReasonCode::WaitingForSignal,
            Self::Approval => SuspensionReasonCode::WaitingForApproval,
            Self::Callback => SuspensionReasonCode::WaitingForCallback,
            Self::ToolResult => SuspensionReasonCode::WaitingForToolResult,
            Self::Review => SuspensionReasonCode::WaitingForOperatorReview,
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Approval => "approval",
            Self::Callback => "callback",
            Self::ToolResult => "tool-result",
            Self::Review => "review",
        }
    }
}

/// What a timeout does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnTimeout {
    /// The execution fails.
    Fail,
    /// It is cancelled.
    Cancel,
    /// It expires.
    Expire,
    /// The command runs again, with a signal that says so.
    Resume,
    /// It goes on waiting, for an operator.
    Escalate,
}

impl OnTimeout {
    const fn behavior(self) -> TimeoutBehavior {
        match self {
            Self::Fail => TimeoutBehavior::Fail,
            Self::Cancel => TimeoutBehavior::Cancel,
            Self::Expire => TimeoutBehavior::Expire,
            Self::Resume => TimeoutBehavior::AutoResumeWithTimeoutSignal,
            Self::Escalate => TimeoutBehavior::Escalate,
        }
    }
}

/// Suspends.
#[derive(Debug, Args)]
pub(crate) struct SuspendArgs {
    /// What it waits for.
    #[arg(long = "for", value_enum, value_name = "WHAT", default_value = "signal")]
    what: For,
    /// The name of the waitpoint, for those who answer [default: what it waits for]; may be repeated,
    /// then each must be answered.
    #[arg(long)]
    key: Vec<String>,
    /// One answer at any of the keys is enough.
    #[arg(long, requires = "key")]
    any: bool,
    /// So many different people must answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["any", "condition"])]
    people: Option<u32>,
    /// Only a signal of this name counts.
    #[arg(long, value_name = "NAME", conflicts_with = "condition")]
    signal: Option<String>,
    /// The resume condition as JSON, for what the flags cannot say.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["any", "key"])]
    condition: Option<String>,
    /// A waitpoint that `ff task waitpoint` has opened; it keeps the key that it was opened with.
    #[arg(long = "use", value_name = "WAITPOINT", conflicts_with_all = ["condition", "any"])]
    pending: Option<String>,
    /// Wait at most this long.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive)]
    timeout: Option<Duration>,
    /// What happens then.
    #[arg(long, value_enum, value_name = "ACTION", default_value = "fail", requires = "timeout")]
    on_timeout: OnTimeout,
}

/// Delays.
#[derive(Debug, Args)]
pub(crate) struct DelayArgs {
    /// How long.
    #[arg(value_name = "DURATION", value_parser = crate::duration::parse)]
    span: Duration,
}

/// Opens a waitpoint.
#[derive(Debug, Args)]
pub(crate) struct WaitpointArgs {
    /// Its name, for those who answer.
    #[arg(long, default_value = "callback")]
    key: String,
    /// How long it can be answered before the work suspends.
    #[arg(long, value_name = "DURATION", value_parser = parse_positive, default_value = "1h")]
    expires: Duration,
}

fn later(now: TimestampMs, span: Duration) -> TimestampMs {
    TimestampMs(now.0.saturating_add(i64::try_from(millis(span)).unwrap_or(i64::MAX)))
}

fn fresh(key: &str) -> WaitpointBinding {
    WaitpointBinding::Fresh { waitpoint_id: WaitpointId::new(), waitpoint_key: key.to_owned() }
}

/// The waitpoint of `--use`, as the engine knows it: its key is the one that the condition must name.
async fn used(task: &Task, text: &str) -> Result<PendingWaitpointInfo> {
    let digits = text.strip_prefix("wtp_").unwrap_or(text);
    let wanted = WaitpointId::parse(digits).map_err(|error| {
        Error::usage(format!("`{text}` is not a waitpoint"))
            .why(error.to_string())
            .fix("give the id that `ff task waitpoint` printed")
    })?;
    let open = open_waitpoints(task.engine.as_ref(), &task.about.execution_id).await?;
    open.into_iter().find(|waitpoint| waitpoint.waitpoint_id == wanted).ok_or_else(|| {
        Error::new(Exit::NotFound, "not_found", format!("`{text}` is not open"))
            .why("it is another execution's, or it has expired or been closed")
            .fix("open one with `ff task waitpoint`; its --expires says for how long")
    })
}

/// The waitpoints and the condition that the flags mean.
fn condition(
    args: &SuspendArgs,
    opened: Option<&PendingWaitpointInfo>,
) -> Result<(Vec<WaitpointBinding>, ResumeCondition)> {
    if let Some(text) = &args.condition {
        let condition: ResumeCondition = serde_json::from_str(text).map_err(|error| {
            Error::usage("the condition is not understood")
                .why(error.to_string())
                .fix(r#"for example {"Single":{"waitpoint_key":"a","matcher":"Wildcard"}}"#)
        })?;
        let mut waitpoints: Vec<_> =
            condition.referenced_waitpoint_keys().iter().map(|key| fresh(key)).collect();
        if waitpoints.is_empty() {
            waitpoints.push(fresh(args.what.key()));
        }
        return Ok((waitpoints, condition));
    }
    let mut keys = args.key.clone();
    let waitpoints = if let Some(opened) = opened {
        match &keys[..] {
            [] => keys.push(opened.waitpoint_key.clone()),
            [key] if *key == opened.waitpoint_key => {}
            _ => {
                return Err(Error::usage("this is not the key of the waitpoint")
                    .why(format!("it was opened with --key {}", opened.waitpoint_key))
                    .fix("leave --key out: a waitpoint that is used keeps its key"));
            }
        }
        vec![WaitpointBinding::UsePending { waitpoint_id: opened.waitpoint_id.clone() }]
    } else {
        if keys.is_empty() {
            keys.push(args.what.key().to_owned());
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = keys.iter().find(|key| !seen.insert(*key)) {
            return Err(Error::usage(format!("the key `{twice}` is given twice"))
                .why("who answers names a waitpoint by its key, so each has its own")
                .fix("give each --key once; `--people 2` asks for two answers at one"));
        }
        keys.iter().map(|key| fresh(key)).collect()
    };
    let matcher = args.signal.clone().map_or(SignalMatcher::Wildcard, SignalMatcher::ByName);
    let counted = |n, kind| {
        let matcher = Some(matcher.clone());
        ResumeCondition::Composite(CompositeBody::count(n, kind, matcher, keys.clone()))
    };
    let single = |key: &String| ResumeCondition::Single {
        waitpoint_key: key.clone(),
        matcher: matcher.clone(),
    };
    let condition = match (args.people, &keys[..]) {
        (Some(people), _) => counted(people, CountKind::DistinctSources),
        (None, [only]) => single(only),
        (None, _) if args.any => counted(1, CountKind::DistinctWaitpoints),
        (None, several) => {
            ResumeCondition::Composite(CompositeBody::all_of(several.iter().map(single)))
        }
    };
    Ok((waitpoints, condition))
}

pub(super) async fn suspend(task: &Task, output: Output, args: SuspendArgs) -> Result<ExitCode> {
    let opened = match &args.pending {
        Some(text) => Some(used(task, text).await?),
        None => None,
    };
    let (mut waitpoints, condition) = condition(&args, opened.as_ref())?;
    let now = engine_now(task.engine.as_ref()).await?;
    let first = waitpoints.remove(0);
    let mut wanted = contracts::SuspendArgs::new(
        SuspensionId::new(),
        first,
        condition,
        ResumePolicy::normal(),
        args.what.code(),
        now,
    );
    wanted.waitpoints.extend(waitpoints);
    if let Some(timeout) = args.timeout {
        wanted = wanted.with_timeout(later(now, timeout), args.on_timeout.behavior());
    }
    let outcome = task
        .engine
        .suspend(&task.handle, wanted)
        .await
        .map_err(|error| Error::engine("suspend", &error))?;
    let details = outcome.details();
    let mut shown = vec![json!({
        "waitpoint": id::show_waitpoint(&details.waitpoint_id), "key": details.waitpoint_key,
    })];
    shown.extend(details.additional_waitpoints.iter().map(|waitpoint| {
        json!({"waitpoint": id::show_waitpoint(&waitpoint.waitpoint_id), "key": waitpoint.waitpoint_key})
    }));
    let suspended = matches!(outcome, SuspendOutcome::Suspended { .. });
    match output.format {
        Format::Json => output.json(&json!({
            "id": own_id(task), "suspended": suspended, "waitpoints": shown,
        }))?,
        Format::Id => output.line(&id::show_waitpoint(&details.waitpoint_id))?,
        // stdout is the result of the command.
        Format::Table => {}
    }
    if suspended {
        return Ok(ExitCode::SUCCESS);
    }
    if output.format == Format::Table && !output.quiet {
        eprintln!(
            "it was answered before it suspended: the work goes on; `ff task signals` shows the answer"
        );
    }
    Ok(ExitCode::from(Exit::Answered.code()))
}

pub(super) async fn delay(task: &Task, args: &DelayArgs) -> Result<ExitCode> {
    let now = engine_now(task.engine.as_ref()).await?;
    task.engine
        .delay(&task.handle, later(now, args.span))
        .await
        .map_err(|error| Error::engine("delay", &error))?;
    Ok(ExitCode::SUCCESS)
}

/// Keeps the lease when nothing is left to wait for: the command would only be run again.
pub(super) async fn wait_children(task: &Task) -> Result<ExitCode> {
    let may_go_on = may_go_on(task).await;
    if may_go_on.map_err(|error| Error::engine("look for the children", &error))? {
        return Ok(ExitCode::from(Exit::Answered.code()));
    }
    task.engine
        .wait_children(&task.handle)
        .await
        .map_err(|error| Error::engine("wait for the children", &error))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the lease is held, and no edge into an unsatisfied join of the execution is open.
async fn may_go_on(task: &Task) -> std::result::Result<bool, EngineError> {
    let id = &task.about.execution_id;
    let leases = task.engine.check_leases(std::slice::from_ref(&task.handle)).await?;
    if !leases.iter().all(LeaseStanding::is_held) {
        return Ok(false);
    }
    let summary = task.engine.describe_summary(id).await?;
    let Some(flow) = summary.and_then(|summary| summary.flow_id) else { return Ok(true) };
    let groups = task.engine.describe_flow(&flow).await?.map(|flow| flow.edge_groups);
    Ok(!groups.into_iter().flatten().any(|group| {
        group.downstream_execution_id == *id
            && group.running_count > 0
            && group.group_state != EdgeGroupState::Satisfied
    }))
}

pub(super) async fn waitpoint(
    task: &Task,
    output: Output,
    args: &WaitpointArgs,
) -> Result<ExitCode> {
    let opened = task
        .engine
        .create_waitpoint(&task.handle, &args.key, args.expires)
        .await
        .map_err(|error| Error::engine("open a waitpoint", &error))?;
    let waitpoint = id::show_waitpoint(&opened.waitpoint_id);
    let token = opened.hmac_token.as_str();
    match output.format {
        Format::Json => output.json(&json!({
            "id": own_id(task), "waitpoint": waitpoint, "key": args.key, "token": token,
        }))?,
        Format::Id => output.line(&waitpoint)?,
        Format::Table => output.line(&format!("{waitpoint} {token}"))?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        suspend: SuspendArgs,
    }

    fn meant(line: &str) -> String {
        let words = std::iter::once("x").chain(line.split_whitespace());
        let (waitpoints, condition) = condition(&Flags::parse_from(words).suspend, None).unwrap();
        assert!(!waitpoints.is_empty());
        serde_json::to_string(&condition).unwrap()
    }

    #[test]
    fn flags_become_a_condition() {
        assert_eq!(
            meant("--for approval"),
            r#"{"Single":{"waitpoint_key":"approval","matcher":"Wildcard"}}"#
        );
        assert_eq!(
            meant("--key a --key b"),
            r#"{"Composite":{"kind":"AllOf","members":[{"Single":{"waitpoint_key":"a","matcher":"Wildcard"}},{"Single":{"waitpoint_key":"b","matcher":"Wildcard"}}]}}"#
        );
        assert_eq!(
            meant("--key a --key b --any --signal paid"),
            r#"{"Composite":{"kind":"Count","n":1,"count_kind":"DistinctWaitpoints","matcher":{"ByName":"paid"},"waitpoints":["a","b"]}}"#
        );
        assert_eq!(
            meant("--for approval --people 2"),
            r#"{"Composite":{"kind":"Count","n":2,"count_kind":"DistinctSources","matcher":"Wildcard","waitpoints":["approval"]}}"#
        );
        assert_eq!(meant(r#"--condition "OperatorOnly""#), r#""OperatorOnly""#);
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        let parse = |line: &str| {
            let words = std::iter::once("x").chain(line.split_whitespace());
            Flags::try_parse_from(words)
        };
        assert!(parse("--on-timeout cancel").is_err());
        assert!(parse("--people 0").is_err());
        for line in ["--condition {", "--key a --key b --key a"] {
            let flags = parse(line).unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(condition(&flags.suspend, None).unwrap_err().exit, Exit::Usage, "{line}");
        }
    }
}
