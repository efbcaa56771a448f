//! Waiting for signals: waitpoints, suspensions, conditions, timeouts and keys.

#![expect(missing_docs, reason = "a behaviour's name says what must be true")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod condition;
pub mod deliver;
pub mod event;
pub mod key;
pub mod list;
pub mod resume;
pub mod suspend;
pub mod timeout;
pub mod waitpoint;

use ff_core::EngineError;
use ff_core::backend::{Handle, WaitpointHmac};
use ff_core::contracts::{
    DeliverSignalArgs, DeliverSignalResult, ResumeCondition, ResumePolicy, SignalMatcher,
    SuspendArgs, SuspendOutcome, SuspendOutcomeDetails, SuspensionReasonCode, WaitpointBinding,
};
use ff_core::types::{ExecutionId, SignalId, SuspensionId, WaitpointId};

use crate::harness::{Bench, Held};

/// Any signal at `key`.
pub fn any_at(key: &str) -> ResumeCondition {
    ResumeCondition::Single { waitpoint_key: key.to_owned(), matcher: SignalMatcher::Wildcard }
}

/// A fresh binding under `key`.
pub fn bound(bench: &Bench, key: &str) -> WaitpointBinding {
    let waitpoint_id = WaitpointId::from_uuid(bench.new_lease_id().0);
    WaitpointBinding::Fresh { waitpoint_id, waitpoint_key: key.to_owned() }
}

/// A suspend that waits for `condition` at these fresh waitpoints.
pub fn waiting_for(bench: &Bench, condition: ResumeCondition, keys: &[&str]) -> SuspendArgs {
    let bindings: Vec<_> = keys.iter().map(|key| bound(bench, key)).collect();
    SuspendArgs::new(
        SuspensionId::from_uuid(bench.new_lease_id().0),
        bindings[0].clone(),
        condition,
        ResumePolicy::normal(),
        SuspensionReasonCode::WaitingForApproval,
        bench.now(),
    )
    .with_waitpoints(bindings)
}

/// A suspend that any signal at `k` ends.
pub fn plain(bench: &Bench) -> SuspendArgs {
    waiting_for(bench, any_at("k"), &["k"])
}

/// Suspends and expects to be parked.
pub async fn park(
    bench: &Bench,
    held: &Held,
    args: SuspendArgs,
) -> (SuspendOutcomeDetails, Handle) {
    match bench.engine.suspend(&held.handle, args).await.expect("suspended") {
        SuspendOutcome::Suspended { details, handle } => (details, handle),
        other => panic!("not parked: {other:?}"),
    }
}

/// A claimed execution that waits for any signal at `k`.
pub(crate) async fn parked(bench: &Bench) -> (Held, SuspendOutcomeDetails) {
    let held = bench.claimed().await;
    let (details, _) = park(bench, &held, plain(bench)).await;
    (held, details)
}

/// A signal named `go` for a waitpoint.
pub fn signal(
    bench: &Bench,
    execution: &ExecutionId,
    waitpoint: &WaitpointId,
    token: &WaitpointHmac,
) -> DeliverSignalArgs {
    DeliverSignalArgs {
        execution_id: execution.clone(),
        waitpoint_id: waitpoint.clone(),
        signal_id: SignalId::from_uuid(bench.new_lease_id().0),
        signal_name: "go".to_owned(),
        signal_category: "external".to_owned(),
        source_type: "person".to_owned(),
        source_identity: "ada".to_owned(),
        payload: Some(b"yes".to_vec()),
        payload_encoding: None,
        correlation_id: None,
        idempotency_key: None,
        target_scope: "waitpoint".to_owned(),
        created_at: None,
        dedup_ttl_ms: None,
        resume_delay_ms: None,
        max_signals_per_execution: None,
        signal_maxlen: None,
        waitpoint_token: token.token().clone(),
        now: bench.now(),
    }
}

/// A signal for the primary waitpoint of a suspension.
pub fn to(bench: &Bench, execution: &ExecutionId, at: &SuspendOutcomeDetails) -> DeliverSignalArgs {
    signal(bench, execution, &at.waitpoint_id, &at.waitpoint_token)
}

/// The waitpoint of a suspension with this key, and its token.
pub fn at_key<'a>(
    details: &'a SuspendOutcomeDetails,
    key: &str,
) -> (&'a WaitpointId, &'a WaitpointHmac) {
    if details.waitpoint_key == key {
        return (&details.waitpoint_id, &details.waitpoint_token);
    }
    let extra = details.additional_waitpoints.iter().find(|extra| extra.waitpoint_key == key);
    extra.map(|extra| (&extra.waitpoint_id, &extra.waitpoint_token)).expect("a waitpoint")
}

/// What a delivery did.
pub async fn delivered(bench: &Bench, args: DeliverSignalArgs) -> Result<String, EngineError> {
    Ok(match bench.engine.deliver_signal(args).await? {
        DeliverSignalResult::Accepted { effect, .. } => effect,
        DeliverSignalResult::Duplicate { .. } => "duplicate".to_owned(),
    })
}

/// The names of the signals that a lease sees.
pub async fn observed(bench: &Bench, held: &Held) -> Vec<String> {
    let signals = bench.engine.observe_signals(&held.handle).await.expect("a read");
    signals.into_iter().map(|signal| signal.signal_name).collect()
}
