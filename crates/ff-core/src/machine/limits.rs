//! Every bound of the engine, with its unit.

use crate::types::DurationMs;

/// The bounds a backend enforces. [`Limits::default`] gives the documented values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest input payload, in bytes. At most [`PAYLOAD_CEILING_BYTES`].
    pub payload_bytes: usize,
    /// Largest result, in bytes. At most [`PAYLOAD_CEILING_BYTES`].
    pub result_bytes: usize,
    /// How long an ended execution is kept.
    pub retention: DurationMs,
    /// How long an outbox row is kept for subscribers.
    pub event_retention: DurationMs,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 1024 * 1024,
            result_bytes: 1024 * 1024,
            retention: DurationMs(24 * 60 * 60 * 1_000),
            event_retention: DurationMs(7 * 24 * 60 * 60 * 1_000),
        }
    }
}

/// No configuration raises a payload or a result above this, in bytes.
pub const PAYLOAD_CEILING_BYTES: usize = 16 * 1024 * 1024;

/// Highest priority; higher ones are lowered to it (contract A.2).
pub const PRIORITY_MAX: i32 = 9_000;

/// Shortest lease, in milliseconds.
pub const LEASE_TTL_MIN_MS: u64 = 1;

/// Longest lease, in milliseconds: 24 hours. A longer one would hide a dead worker for days.
pub const LEASE_TTL_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Longest delay, back-off or deadline ahead of now, in milliseconds: ten years.
pub const DELAY_MAX_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Most retries one policy may ask for.
pub const RETRIES_MAX: u32 = 1_000;

/// Longest text identifier (worker, instance, creator, idempotency key), in bytes.
pub const IDENTIFIER_MAX_BYTES: usize = 256;

/// Longest namespace or execution kind, in bytes.
pub const NAME_MAX_BYTES: usize = 128;

/// Most tags of one execution.
pub const TAGS_MAX: usize = 64;

/// Longest tag key, in bytes.
pub const TAG_KEY_MAX_BYTES: usize = 128;

/// Longest tag value, in bytes.
pub const TAG_VALUE_MAX_BYTES: usize = 1024;

/// Stored error text is cut to this many bytes and marked: a failure must be recordable.
pub const REASON_MAX_BYTES: usize = 16 * 1024;

/// Most distinct capability sets among one lane's claimable executions. A claim walks them.
pub const LANE_GATE_KEYS_MAX: usize = 1_024;

/// Most due executions that one claim or one sweep step settles.
pub const DUE_STEP_MAX: usize = 256;

/// Most due executions that nothing moves before a step stops looking behind them.
pub const DUE_STUCK_MAX: usize = 16 * DUE_STEP_MAX;

/// Most candidates that one step of a claim passes over, because they ended or cannot be read.
pub const CLAIM_PASSED_OVER_MAX: usize = 256;

/// Most candidates that one claim examines before it looks again.
pub const CLAIM_EXAMINED_MAX: usize = 64;

/// How long a create's idempotency key is remembered unless its policy says otherwise.
pub const DEDUP_WINDOW_MS: u64 = 24 * 60 * 60 * 1_000;

/// Reclaims allowed when neither a policy nor the caller gives a number (contract §20).
pub const RECLAIMS_WITHOUT_POLICY: u32 = 1_000;

/// Most dimensions that one budget or one report names.
pub const BUDGET_DIMENSIONS_MAX: usize = 64;

/// Longest name of a dimension, in bytes.
pub const BUDGET_DIMENSION_MAX_BYTES: usize = 128;

/// Most budgets that one execution is bound to: a claim reads them all.
pub const BUDGETS_PER_EXECUTION_MAX: usize = 16;

/// How long a report's key is remembered.
pub const REPORT_DEDUP_MS: u64 = 24 * 60 * 60 * 1_000;

/// Longest window of a quota, in seconds: 31 days. Entries are kept that long.
pub const QUOTA_WINDOW_MAX_SECONDS: u64 = 31 * 24 * 60 * 60;

/// Most gates that one step looks at.
pub const GATE_STEP_MAX: usize = 16;

/// Most executions that one step puts back in line.
pub const REOPEN_STEP_MAX: usize = 256;

/// A gate that let out as many as there was room for is swept again after this, if no claim
/// looked at it before.
pub const GATE_SWEEP_AGAIN_MS: u64 = 1_000;

/// A gate whose rows cannot be read is looked at again after this.
pub const GATE_UNREADABLE_AGAIN_MS: u64 = 30_000;
/// Largest signal payload, in bytes (contract §20).
pub const SIGNAL_PAYLOAD_MAX_BYTES: usize = 64 * 1024;

/// Most bytes that the signals of one execution hold: a resumed worker is given all of a suspension's.
pub const SIGNALS_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Most signals that a policy or a call may allow one execution.
pub const SIGNALS_PER_EXECUTION_MAX: u64 = 100_000;

/// Signals one execution may have unless its policy or the call says otherwise (contract §20).
pub const SIGNALS_PER_EXECUTION: u64 = 10_000;

/// How long a signal's idempotency key is remembered unless the call says otherwise.
pub const SIGNAL_DEDUP_WINDOW_MS: u64 = 24 * 60 * 60 * 1_000;

/// How far a suspension's timeout may lie in the past, in milliseconds: clocks differ.
pub const SUSPEND_CLOCK_SKEW_MS: u64 = 600_000;

/// Most waitpoints of one suspension.
pub const WAITPOINTS_PER_SUSPENSION_MAX: usize = 256;

/// Most open waitpoints of one execution: every operation on its waitpoints looks at all of them.
pub const OPEN_WAITPOINTS_MAX: usize = 1_000;

/// Most nodes, leaves and listed waitpoints of one resume condition: a delivery walks them.
pub const CONDITION_TERMS_MAX: usize = 1_024;

/// Most signing keys whose tokens count at once: every token is checked against them.
pub const SIGNING_KEYS_MAX: usize = 64;

/// Longest grace of a rotation, in milliseconds (contract B.6): 2^53 - 1.
pub const ROTATION_GRACE_MAX_MS: u64 = (1 << 53) - 1;
/// The partition of flows and of everything in them.
pub const FLOW_PARTITION: u16 = 0;

/// Most edges settled, and most members cancelled, in one step. More would hold the write lock
/// longer than a heartbeat may wait.
pub const FLOW_STEP_MAX: usize = 256;

/// Largest payload of one frame, in bytes (contract A.2).
pub const FRAME_MAX_BYTES: usize = 64 * 1024;

/// Largest summary document, in bytes. Every patch reads and writes all of it.
pub const SUMMARY_MAX_BYTES: usize = 256 * 1024;

/// How many objects and lists of a summary's patch may lie inside one another.
pub const PATCH_DEPTH_MAX: usize = 16;

/// Durable frames that a stream keeps unless its policy says otherwise.
pub const DURABLE_FRAMES_KEPT: u64 = 10_000;

/// Most durable frames that a policy may keep: 6.4 GB of the largest ones.
pub const DURABLE_FRAMES_KEPT_MAX: u64 = 100_000;

/// Patches that a stream keeps; the merged document is what counts.
pub const SUMMARY_FRAMES_KEPT: u64 = 64;

/// Most best-effort frames that a stream keeps, whatever its rate.
pub const BEST_EFFORT_KEPT_MAX: u32 = 16_384;

/// Most frames that one append removes.
pub const STREAM_TRIM_STEP_MAX: u64 = 256;

/// Fields of frames, in bytes, after which a page of a stream ends: a reader holds no more.
pub const STREAM_PAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Shortest life of a worker's registration without a heartbeat, in milliseconds.
pub const WORKER_TTL_MIN_MS: u64 = 1;

/// Longest life of a worker's registration without a heartbeat, in milliseconds: 24 hours.
pub const WORKER_TTL_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Most lanes that a worker's registration names.
pub const WORKER_LANES_MAX: usize = 256;

/// How long a line of the registry's history that tells of a heartbeat is kept, in milliseconds:
/// an hour. The others stay as long as events do.
pub const HEARTBEAT_EVENT_RETENTION_MS: u64 = 60 * 60 * 1_000;
