//! What went wrong, why, and what to do about it, with the exit code that says it to a script.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use ff_backend_sqlite::WriterStopped;
use ff_core::engine_error::{
    BackendErrorKind, ConflictKind, ContentionKind, StateKind, ValidationKind,
};
use ff_core::error::ErrorClass;
use ff_core::state::{LifecyclePhase, PublicState};
use ff_core::{BackendError, EngineError};
use serde_json::json;

use crate::output::escape;
use crate::time;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed that no other code names.
    Error,
    /// The command line, or a value on it, is not understood.
    Usage,
    /// There is no such execution, file or database.
    NotFound,
    /// It exists, in a state that stands against the request.
    Conflict,
    /// The execution that was waited for did not complete.
    ExecutionFailed,
    /// The wait was longer than allowed.
    TimedOut,
    /// It was spent, and a soft limit of the budget is passed.
    SoftBreach,
    /// It did not fit into the budget.
    HardBreach,
    /// What was to be waited for is there already.
    Answered,
    /// A signal ended the command.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Error => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::ExecutionFailed => 5,
            Self::TimedOut => 6,
            Self::SoftBreach => 7,
            Self::HardBreach => 8,
            Self::Answered => 9,
            Self::Interrupted => 130,
        }
    }
}

/// A failure as it is told to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// A word that never changes, for scripts.
    pub(crate) code: &'static str,
    /// What happened, in a sentence without a full stop.
    pub(crate) what: String,
    /// Why, where the first sentence does not say it.
    pub(crate) why: Option<String>,
    /// The parts of it, where there are several: a line each.
    pub(crate) details: Vec<String>,
    /// What to do next.
    pub(crate) fix: Option<String>,
    /// Which execution it is about.
    pub(crate) execution_id: Option<String>,
    /// Whether the same command may succeed later.
    pub(crate) retryable: bool,
}

/// What a command answers.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with its stable word.
    pub(crate) fn new(exit: Exit, code: &'static str, what: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            what: what.into(),
            why: None,
            details: Vec::new(),
            fix: None,
            execution_id: None,
            retryable: false,
        }
    }

    /// The command line, or a value on it, is not understood.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", what)
    }

    /// Reading or writing outside the database failed.
    pub(crate) fn io(doing: impl Into<String>, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Error,
        };
        Self::new(exit, "io", format!("cannot {}", doing.into())).why(error.to_string())
    }

    /// Adds the reason.
    #[must_use]
    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Says what part of the input the reason is about.
    #[must_use]
    pub(crate) fn context(mut self, part: &str) -> Self {
        self.why = Some(match self.why {
            Some(why) => format!("{part}: {why}"),
            None => part.to_owned(),
        });
        self
    }

    /// Adds the way out.
    #[must_use]
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds the execution it is about.
    #[must_use]
    pub(crate) fn about(mut self, id: &ff_core::types::ExecutionId) -> Self {
        self.execution_id = Some(crate::id::show(id));
        self
    }

    /// A refusal or failure of the engine while `doing` something, as in "cannot submit".
    pub(crate) fn engine(doing: &str, error: &EngineError) -> Self {
        let told = explain(error);
        let mut answer = Self::new(told.exit, told.code, format!("cannot {doing}"));
        answer.why = Some(told.why);
        answer.fix = told.fix;
        answer.retryable = is_retryable(error);
        answer
    }

    /// The database cannot be opened. What only another command line mends, as with a file that is not
    /// ours or that a newer build has written, is a mistake in it.
    pub(crate) fn open(store: &str, error: &BackendError) -> Self {
        let exit = match error.kind() {
            BackendErrorKind::Protocol => Exit::Usage,
            _ => Exit::Error,
        };
        let mut answer = Self::new(exit, "store", format!("cannot open the store `{store}`"))
            .why(error.message())
            .fix("check the path and its permissions, or name another with --store sqlite:PATH");
        answer.retryable = error.kind().is_retryable();
        answer
    }

    /// The lines a person reads.
    pub(crate) fn human(&self, color: bool) -> String {
        let (red, bold, reset) =
            if color { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{red}error:{reset} {bold}{}{reset}\n", escape(&self.what));
        for detail in &self.details {
            let _ = writeln!(text, "  {}", escape(detail));
        }
        for (label, line) in [("why", &self.why), ("fix", &self.fix)] {
            if let Some(line) = line {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  {label}: {}", escape(line));
            }
        }
        text
    }

    /// One object for a program.
    pub(crate) fn json(&self) -> String {
        let mut object = json!({
            "code": self.code,
            "title": self.what,
            "detail": self.why,
            "fix": self.fix,
            "execution_id": self.execution_id,
            "retryable": self.retryable,
            "exit_code": self.exit.code(),
        });
        if !self.details.is_empty() {
            object["details"] = json!(self.details);
        }
        object.to_string()
    }
}

/// Whether the same call may succeed when it is made again unchanged.
///
/// A failure of the storage counts unless its writer has stopped for good: it may pass in a moment, and
/// every call of the command line that is repeated on this answer is safe to repeat. How long it is
/// repeated is for [`Retry`] to say.
pub(crate) fn is_retryable(error: &EngineError) -> bool {
    if error.is_stale() {
        return false;
    }
    match error {
        EngineError::Contextual { source, .. } | EngineError::InBatch { source, .. } => {
            is_retryable(source)
        }
        EngineError::Transport { .. } => !has_stopped(error),
        EngineError::Timeout { .. } => true,
        _ => error.class() == ErrorClass::Retryable,
    }
}

/// Whether the storage itself failed, as against a refusal of the engine or a busy store.
pub(crate) fn is_storage(error: &EngineError) -> bool {
    match error {
        EngineError::Contextual { source, .. } | EngineError::InBatch { source, .. } => {
            is_storage(source)
        }
        EngineError::Transport { .. } => true,
        _ => false,
    }
}

/// Whether the store's writer has stopped for good: nothing is written any more until a restart.
pub(crate) fn has_stopped(error: &EngineError) -> bool {
    match error {
        EngineError::Contextual { source, .. } | EngineError::InBatch { source, .. } => {
            has_stopped(source)
        }
        EngineError::Transport { source, .. } => source.downcast_ref::<WriterStopped>().is_some(),
        _ => false,
    }
}

/// The first pause between two tries of one call, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// How long a call is repeated while the storage fails. A store that is only busy has no such bound here.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);

/// The tries of one call, until it succeeds or there is no point in another.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    tries: u32,
    failing_since: Option<Instant>,
}

impl Retry {
    /// How long to wait before the next try; `None` when there is to be none.
    pub(crate) fn after(&mut self, error: &EngineError) -> Option<Duration> {
        self.after_at(error, time::instant())
    }

    fn after_at(&mut self, error: &EngineError, now: Instant) -> Option<Duration> {
        if !is_retryable(error) {
            return None;
        }
        if is_storage(error) {
            let since = *self.failing_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= STORAGE_PATIENCE {
                return None;
            }
        }
        let pause = RETRY_FIRST.saturating_mul(1 << self.tries.min(10)).min(RETRY_LAST);
        self.tries = self.tries.saturating_add(1);
        Some(pause)
    }
}

/// Where an execution stands whose lease is gone, in a sentence without a full stop.
pub(crate) const fn standing(state: Option<PublicState>) -> &'static str {
    match state {
        None => "the execution itself is gone",
        Some(PublicState::Suspended) => "it is suspended until it is answered",
        Some(PublicState::Delayed) => "it is delayed",
        Some(PublicState::WaitingChildren) => "it waits for its children",
        Some(PublicState::RateLimited) => "it waits for room in a budget or quota",
        Some(PublicState::Resumable) => "its wait is over, and it is soon run again",
        Some(PublicState::Waiting) => "it waits in its lane to be run again",
        Some(PublicState::Active) => "the lease lapsed or was taken back, and it was claimed again",
        Some(PublicState::Completed) => "it has ended: completed",
        Some(PublicState::Failed) => "it has ended: failed",
        Some(PublicState::Cancelled) => "it has ended: cancelled",
        Some(PublicState::Expired) => "it has ended: expired",
        Some(PublicState::Skipped) => "it has ended: skipped",
        Some(_) => "its state has changed",
    }
}

/// Why an engine call failed, in a sentence without a full stop.
pub(crate) fn reason(error: &EngineError) -> String {
    explain(error).why
}

/// What to do about a store that is written no more.
pub(crate) const STOPPED_FIX: &str = "put the database file back or mend the disk, check it with \
                                      `ff verify`, then run the command again";

/// What an engine error means on the command line.
struct Told {
    exit: Exit,
    code: &'static str,
    why: String,
    fix: Option<String>,
}

fn told(exit: Exit, code: &'static str, why: impl Into<String>) -> Told {
    Told { exit, code, why: why.into(), fix: None }
}

impl Told {
    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

fn explain(error: &EngineError) -> Told {
    match error {
        EngineError::NotFound { entity } => {
            told(Exit::NotFound, "not_found", format!("there is no such {entity} in this store"))
                .fix("`ff exec list` shows what there is; --store or FF_STORE names the store")
        }
        EngineError::Validation { kind, detail } => explain_validation(kind, detail),
        EngineError::Contention(kind) => explain_contention(kind),
        EngineError::Conflict(kind) => explain_conflict(kind),
        EngineError::State(kind) => explain_state(kind),
        EngineError::Bug(kind) => {
            told(Exit::Error, "bug", format!("an invariant of the engine is broken: {kind:?}"))
                .fix("run `ff verify` and report what it prints")
        }
        EngineError::Transport { source, .. } if has_stopped(error) => {
            told(Exit::Error, "store_stopped", source.to_string()).fix(STOPPED_FIX)
        }
        EngineError::Transport { source, .. } => told(Exit::Error, "storage", source.to_string())
            .fix("check the disk and the file's permissions, then run the command again"),
        EngineError::Unavailable { op } => {
            told(Exit::Error, "unavailable", format!("this store does not offer `{op}`"))
        }
        EngineError::ResourceExhausted { pool: "sqlite storage", .. } => told(
            Exit::Error,
            "storage_full",
            "the disk is full, or the database has reached its size limit",
        )
        .fix("free space on the database's disk, then repeat the command; reads go on meanwhile"),
        EngineError::ResourceExhausted { pool, max, .. } => {
            let why = match max {
                0 => format!("{pool} is exhausted"),
                1 => format!("{pool} is taken by another process"),
                _ => format!("{pool} is full: the limit is {max}"),
            };
            told(Exit::Error, "busy", why).fix("run the command again in a moment")
        }
        EngineError::Timeout { op, elapsed } => {
            let ms = time::millis(*elapsed);
            told(
                Exit::TimedOut,
                "timeout",
                format!("{op} took longer than {}", crate::duration::exact(ms)),
            )
            .fix("another process may hold the store: run the command again")
        }
        EngineError::StreamDisconnected { .. } | EngineError::StreamBackpressure => {
            told(Exit::Error, "stream", error.to_string()).fix("run the command again")
        }
        EngineError::Contextual { source, context } => {
            let inner = explain(source);
            Told { why: format!("{context}: {}", inner.why), ..inner }
        }
        // Who sent the batch knows better names for its rows.
        EngineError::InBatch { source, .. } => explain(source),
        other => told(Exit::Error, "engine", other.to_string()),
    }
}

fn explain_validation(kind: &ValidationKind, detail: &str) -> Told {
    match kind {
        ValidationKind::PayloadTooLarge => told(Exit::Error, "payload_too_large", detail)
            .fix("submit a reference to the data, or raise --payload-limit or --result-limit (at most 16MiB)"),
        ValidationKind::Corruption => {
            told(Exit::Error, "corruption", format!("stored data cannot be read: {detail}"))
                .fix("run `ff verify`; restore a backup if it has findings")
        }
        ValidationKind::CapabilityMismatch => {
            told(Exit::Conflict, "capability_mismatch", format!("no worker has {detail}"))
                .fix("start a worker with --capability")
        }
        ValidationKind::InvalidCapabilities => told(
            Exit::Usage,
            "invalid_capabilities",
            format!("a capability is malformed or there are too many ({detail})"),
        )
        .fix("a capability is one word without commas, spaces or control characters"),
        ValidationKind::InvalidToken => told(
            Exit::Usage,
            "invalid_token",
            "the token is not, or not any more, that of this waitpoint",
        )
        .fix("`ff wait token` prints the token of an open waitpoint"),
        ValidationKind::InvalidInput if detail.contains("execution") && detail.contains("not found") => {
            told(Exit::NotFound, "not_found", detail)
        }
        _ => told(Exit::Usage, "invalid", detail),
    }
}

fn explain_contention(kind: &ContentionKind) -> Told {
    match kind {
        ContentionKind::ExecutionNotActive { terminal_outcome, lifecycle_phase, .. }
            if lifecycle_phase == LifecyclePhase::Terminal.as_str() =>
        {
            told(
                Exit::Conflict,
                "already_ended",
                format!("it has already ended: {terminal_outcome}"),
            )
            .fix("`ff exec get` shows how; `ff exec replay` opens it again")
        }
        ContentionKind::ExecutionNotActive { lifecycle_phase, .. } => {
            let why = match LifecyclePhase::from_wire(lifecycle_phase) {
                Some(LifecyclePhase::Suspended) => "it is suspended, so nobody runs it now",
                _ => "nobody runs it now: it waits, is delayed, or is blocked",
            };
            told(Exit::Conflict, "not_active", why).fix("`ff exec why` tells what it waits for")
        }
        ContentionKind::ExecutionNotEligible | ContentionKind::ExecutionNotInEligibleSet => told(
            Exit::Conflict,
            "not_eligible",
            "it is not waiting in its lane: it runs, is delayed, blocked, or has ended",
        )
        .fix("`ff exec get` shows its state"),
        ContentionKind::LeaseConflict => {
            told(Exit::Conflict, "stale_lease", "another worker holds it now")
        }
        other => {
            told(Exit::Conflict, "contention", format!("another process was faster ({other:?})"))
                .fix("run the command again")
        }
    }
}

fn explain_conflict(kind: &ConflictKind) -> Told {
    match kind {
        ConflictKind::IdempotencyKeyReuse { execution_id } => told(
            Exit::Conflict,
            "key_reuse",
            format!(
                "the key belongs to {}, which has another kind, lane, payload or policy",
                crate::id::show(execution_id)
            ),
        )
        .fix("use another --key, or submit exactly what was submitted with it"),
        other => told(Exit::Conflict, "conflict", format!("{other:?}")),
    }
}

fn explain_state(kind: &StateKind) -> Told {
    match kind {
        StateKind::ExecutionNotTerminal => {
            told(Exit::Conflict, "not_ended", "it has not ended yet")
                .fix("wait for it, or `ff exec cancel` it first")
        }
        StateKind::MaxReplaysExhausted => told(
            Exit::Conflict,
            "replays_exhausted",
            "it was replayed as often as its policy allows",
        )
        .fix("submit it anew"),
        StateKind::Terminal => told(Exit::Conflict, "already_ended", "it has already ended")
            .fix("`ff exec get` shows how; `ff exec replay` opens it again"),
        StateKind::FlowAlreadyTerminal => {
            told(Exit::Conflict, "already_ended", "the flow has already ended")
                .fix("`ff flow get` shows how")
        }
        StateKind::StaleLease | StateKind::LeaseExpired | StateKind::LeaseRevoked => {
            told(Exit::Conflict, "stale_lease", "the lease is no longer this worker's")
        }
        other => told(Exit::Conflict, "state", format!("its state stands against it ({other:?})"))
            .fix("`ff exec get` shows its state"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exit_of(error: &EngineError) -> u8 {
        Error::engine("do it", error).exit.code()
    }

    #[test]
    fn exit_codes_say_what_kind_of_failure_it_is() {
        let invalid = |kind| EngineError::Validation { kind, detail: "d".to_owned() };
        let ended = ContentionKind::ExecutionNotActive {
            terminal_outcome: "success".to_owned(),
            lease_epoch: String::new(),
            lifecycle_phase: "terminal".to_owned(),
            attempt_id: String::new(),
        };
        for (error, code) in [
            (EngineError::NotFound { entity: "execution" }, 3),
            (invalid(ValidationKind::InvalidInput), 2),
            (invalid(ValidationKind::InvalidPolicyJson), 2),
            (invalid(ValidationKind::PayloadTooLarge), 1),
            (invalid(ValidationKind::Corruption), 1),
            (EngineError::Contention(ended), 4),
            (EngineError::Contention(ContentionKind::ExecutionNotEligible), 4),
            (EngineError::State(StateKind::ExecutionNotTerminal), 4),
            (EngineError::Conflict(ConflictKind::CycleDetected), 4),
            (EngineError::Timeout { op: "x", elapsed: Duration::ZERO }, 6),
            (EngineError::Unavailable { op: "x" }, 1),
            (EngineError::Transport { backend: "sqlite", source: "disk".into() }, 1),
        ] {
            assert_eq!(exit_of(&error), code, "{error}");
            let wrapped =
                EngineError::Contextual { source: Box::new(error), context: "c".to_owned() };
            assert_eq!(exit_of(&wrapped), code, "{wrapped}");
        }
        assert_eq!(Exit::ExecutionFailed.code(), 5);
        assert_eq!(Exit::Interrupted.code(), 130);
    }

    #[test]
    fn a_full_disk_is_no_busy_store_and_no_limit_is_zero() {
        let told = |pool, max| {
            let error = EngineError::ResourceExhausted { pool, max, retry_after_ms: None };
            Error::engine("submit", &error)
        };
        let full = told("sqlite storage", 0);
        assert_eq!((full.exit, full.code), (Exit::Error, "storage_full"));
        assert!(full.why.unwrap().contains("disk is full"));
        assert!(full.fix.unwrap().contains("free space"));
        for (max, why) in [(0, "exhausted"), (1, "another process"), (5, "limit is 5")] {
            let busy = told("pool", max);
            assert_eq!(busy.code, "busy");
            assert!(busy.why.unwrap().contains(why));
        }
    }

    #[test]
    fn a_lost_lease_is_never_tried_again_and_a_busy_store_is() {
        let transport = EngineError::Transport { backend: "sqlite", source: "busy".into() };
        assert!(is_retryable(&transport));
        assert!(is_retryable(&EngineError::ResourceExhausted {
            pool: "writer",
            max: 1,
            retry_after_ms: None
        }));
        assert!(!is_retryable(&EngineError::Contention(ContentionKind::LeaseConflict)));
        assert!(!is_retryable(&EngineError::State(StateKind::LeaseExpired)));
        assert!(!is_retryable(&EngineError::NotFound { entity: "execution" }));
    }

    #[test]
    fn a_failing_store_is_asked_again_for_ten_seconds_and_a_busy_one_for_longer() {
        let wrap =
            |error| EngineError::Contextual { source: Box::new(error), context: "c".to_owned() };
        let failing = wrap(EngineError::Transport { backend: "sqlite", source: "disk".into() });
        let busy = EngineError::ResourceExhausted { pool: "p", max: 1, retry_after_ms: None };
        let start = time::instant();
        let at = |seconds| start + Duration::from_secs(seconds);

        let mut retry = Retry::default();
        assert_eq!(retry.after_at(&failing, at(0)), Some(RETRY_FIRST));
        assert_eq!(retry.after_at(&failing, at(9)), Some(RETRY_FIRST * 2));
        assert_eq!(retry.after_at(&failing, at(10)), None);

        let mut retry = Retry::default();
        for second in 0..100 {
            assert!(retry.after_at(&busy, at(second)).is_some_and(|pause| pause <= RETRY_LAST));
        }
        let lost = EngineError::State(StateKind::LeaseExpired);
        assert_eq!(Retry::default().after_at(&lost, at(0)), None);
        let stopped = wrap(EngineError::Transport {
            backend: "sqlite",
            source: Box::new(WriterStopped { reason: "x.db is gone".to_owned() }),
        });
        assert_eq!(Retry::default().after_at(&stopped, at(0)), None);
        let told = Error::engine("claim work", &stopped);
        assert_eq!((told.code, told.exit, told.retryable), ("store_stopped", Exit::Error, false));
        assert_eq!(told.why.as_deref(), Some("c: x.db is gone"));
    }

    #[test]
    fn an_error_is_three_lines_for_people_and_one_object_for_programs() {
        let error = Error::usage("a\x1b[31m").why("b").fix("c");
        assert_eq!(error.human(false), "error: a\\x1b[31m\n  why: b\n  fix: c\n");
        assert!(error.human(true).starts_with("\x1b[1;31merror:"));
        let json: serde_json::Value = serde_json::from_str(&error.json()).unwrap();
        assert_eq!(json["exit_code"], 2);
        assert_eq!(json["fix"], "c");
        assert!(json["execution_id"].is_null());
    }
}
