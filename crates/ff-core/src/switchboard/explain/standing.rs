//! What the execution itself waits for: its lease, its flow, its upstreams, signals, its instant.

use super::{closed, open, unknown};
use crate::contracts::{Gate, GateEvidence, GateReport, TimeoutBehavior};
use crate::engine_error::EngineError;
use crate::machine::rows::{Attempt, Execution};
use crate::machine::suspension::{Suspension, WaitpointState};
use crate::machine::{Footprint, Snapshot};
use crate::state::{EligibilityState, LifecyclePhase, OwnershipState, TerminalOutcome};
use crate::store::Reader;
use crate::store::flow::EdgesOf;
use crate::types::TimestampMs;

/// Most edges that the evidence names.
const EDGES_MAX: usize = 100;

/// The execution's row decides; an attempt that disagrees with it is told, not believed. An end that is due, but not
/// stored yet, is told as such unless another gate tells it: every other read shows the row as it is stored.
pub(super) fn lifecycle(
    execution: &Execution,
    seen: &Snapshot,
    is_told_end: bool,
    now: TimestampMs,
) -> GateReport {
    let attempt = seen.current.as_ref();
    match execution.state.lifecycle_phase {
        LifecyclePhase::Terminal if !is_told_end => {
            let outcome = execution.outcome().as_str();
            closed(
                Gate::Lifecycle,
                format!("it is due to end as {outcome}: the next claim or sweep stores that"),
            )
        }
        LifecyclePhase::Terminal => {
            let ended =
                GateEvidence::Ended { outcome: execution.outcome(), at: execution.ended_at };
            let detail = format!("it has ended: {}", execution.outcome().as_str());
            closed(Gate::Lifecycle, detail).with([ended])
        }
        LifecyclePhase::Active => match execution.state.ownership_state {
            OwnershipState::Leased => match attempt {
                Some(attempt) if attempt.outcome.is_none() => {
                    closed(Gate::Lifecycle, "it is running").with([lease(attempt)])
                }
                Some(attempt) => disagreeing(format!(
                    "its row says that it runs, but attempt {} has ended",
                    attempt.index
                )),
                None => disagreeing(
                    "its row says that it runs, but no lease is stored: nobody can claim it",
                ),
            },
            OwnershipState::Unowned => disagreeing(
                "its row says that it is active, but nobody owns it: nobody can claim it",
            ),
            OwnershipState::LeaseExpiredReclaimable => {
                open(Gate::Lifecycle, "its lease ran out; the next claim takes it over")
                    .with(attempt.map(lost))
            }
            OwnershipState::LeaseRevoked => {
                open(Gate::Lifecycle, "its lease was revoked; the next claim takes it over")
            }
        },
        LifecyclePhase::Submitted | LifecyclePhase::Runnable | LifecyclePhase::Suspended => {
            let leftover = attempt
                .filter(|attempt| attempt.lease_expires_at.is_some_and(|at| at > now))
                .map(|attempt| (lease(attempt), attempt.index));
            match leftover {
                None => open(Gate::Lifecycle, "nobody runs it"),
                Some((lease, index)) => {
                    let detail = format!("attempt {index} still stores a lease, which is void");
                    open(Gate::Lifecycle, format!("nobody runs it; {detail}"))
                        .with([lease, GateEvidence::Inconsistent { detail }])
                }
            }
        }
    }
}

fn disagreeing(detail: impl Into<String>) -> GateReport {
    let detail = detail.into();
    unknown(Gate::Lifecycle, detail.clone()).with([GateEvidence::Inconsistent { detail }])
}

fn lease(attempt: &Attempt) -> GateEvidence {
    GateEvidence::Lease {
        worker_instance_id: attempt.worker_instance_id.clone(),
        expires_at: attempt.lease_expires_at,
    }
}

/// The lease that a claim takes over, with the instant at which it ran out.
fn lost(attempt: &Attempt) -> GateEvidence {
    GateEvidence::Lease {
        worker_instance_id: attempt.worker_instance_id.clone(),
        expires_at: attempt.lease_expired_at.or(attempt.lease_expires_at),
    }
}

/// Closed where the cancel of its flow ended it, whether or not a sweep has stored that yet.
/// `None` where the flow has nothing to do with how the execution stands.
pub(super) fn flow(execution: &Execution, seen: &Snapshot) -> Option<GateReport> {
    let mark = seen.flow.own.as_ref().and_then(|flow| Some((&flow.id, flow.cancel.as_ref()?)));
    let Some((flow_id, mark)) = mark else {
        let waits = !execution.is_terminal() && !execution.is_leased();
        let detail = match &execution.flow_id {
            Some(_) => "its flow is not cancelled",
            None => "it belongs to no flow",
        };
        return waits.then(|| open(Gate::Flow, detail));
    };
    let is_by_it = execution.outcome() == TerminalOutcome::Cancelled
        && execution.cancelled_by.as_deref() == Some(mark.by.as_str());
    let policy = mark.policy.as_str();
    let report = if is_by_it {
        closed(Gate::Flow, format!("its flow was cancelled ({policy}): {}", mark.reason))
    } else if execution.is_terminal() {
        return None;
    } else {
        open(Gate::Flow, format!("its flow was cancelled, but {policy} lets it go on"))
    };
    Some(report.with([GateEvidence::FlowCancelled {
        flow_id: flow_id.clone(),
        policy: policy.to_owned(),
        reason: mark.reason.clone(),
        at: mark.at,
    }]))
}

/// Closed with the edges that are not decided yet.
pub(super) fn dependency(
    reader: &mut dyn Reader,
    execution: &Execution,
) -> Result<GateReport, EngineError> {
    if execution.state.eligibility_state != EligibilityState::BlockedByDependencies {
        return Ok(open(Gate::Dependency, "nothing upstream holds it"));
    }
    let waits = "it waits for its upstreams or its children";
    let Some(flow) = &execution.flow_id else { return Ok(closed(Gate::Dependency, waits)) };
    let edges = reader.edges(flow, &EdgesOf::Into(execution.id.clone()), EDGES_MAX)?;
    let (mut evidence, mut first) = (Vec::new(), None);
    for edge in edges.into_iter().filter(|edge| edge.resolved.is_none()) {
        let upstream = reader.load(&Footprint::execution(&edge.upstream))?.execution;
        let state = match (&edge.applied_at, upstream) {
            (None, _) => "drawn, not applied".to_owned(),
            (Some(_), None) => "missing".to_owned(),
            (Some(_), Some(upstream)) => upstream.public_state().as_str().to_owned(),
        };
        first.get_or_insert_with(|| format!("{}, which is {state}", edge.upstream));
        evidence.push(GateEvidence::Edge { edge_id: edge.id, upstream: edge.upstream, state });
    }
    let mut detail = match (first, evidence.len()) {
        (Some(first), 1) => format!("it waits for execution {first}"),
        (Some(first), many) => {
            format!("it waits for {many} upstreams, among them execution {first}")
        }
        (None, _) => waits.to_owned(),
    };
    if let Some(group) = reader.group(flow, &execution.id)?
        && group.missing() > 0
    {
        let total = group.total();
        let wanted = total + group.missing();
        detail = format!(
            "{detail}; its join wants {wanted} edges that count and has {total}: apply the others, \
             or cancel it"
        );
    }
    Ok(closed(Gate::Dependency, detail).with(evidence))
}

/// Closed with the suspension and the waitpoints that signals may still be sent to.
pub(super) fn suspension(execution: &Execution, seen: &Snapshot) -> GateReport {
    if execution.state.lifecycle_phase != LifecyclePhase::Suspended {
        return open(Gate::Suspension, "it is not suspended");
    }
    let why = execution.state.blocking_reason.as_str();
    let Some(suspension) = seen.suspension.open_suspension() else {
        let detail = format!("it is suspended ({why}), but no open suspension is stored");
        return closed(Gate::Suspension, detail.clone())
            .with([GateEvidence::Inconsistent { detail }]);
    };
    let mut waitpoints: Vec<_> = seen
        .suspension
        .waitpoints
        .iter()
        .filter(|waitpoint| waitpoint.state == WaitpointState::Active)
        .filter(|waitpoint| waitpoint.suspension_id.as_ref() == Some(&suspension.suspension_id))
        .collect();
    waitpoints.sort_by(|one, other| one.key.cmp(&other.key));
    let keys: Vec<_> = waitpoints.iter().map(|waitpoint| waitpoint.key.as_str()).collect();
    let detail = match &keys[..] {
        [] => format!("it is suspended: {why}"),
        keys => format!("it is suspended: {why}, at {}", keys.join(", ")),
    };
    let evidence = waitpoints.iter().map(|waitpoint| GateEvidence::Waitpoint {
        waitpoint_id: waitpoint.id.clone(),
        key: waitpoint.key.clone(),
        state: waitpoint.state.as_str().to_owned(),
        since: waitpoint.activated_at.unwrap_or(waitpoint.created_at),
        expires_at: waitpoint.expires_at,
    });
    closed(Gate::Suspension, detail)
        .opening_at(auto_resume_at(suspension))
        .with([GateEvidence::Suspension {
            suspension_id: suspension.suspension_id.clone(),
            reason: suspension.reason_code.clone(),
            since: suspension.suspended_at,
            until: suspension.timeout_at,
            at_timeout: suspension.timeout_behavior.map(|how| how.as_wire_str().to_owned()),
        }])
        .with(evidence)
}

/// A timeout opens the gate only where it resumes; every other one ends the execution or leaves
/// it to an operator.
fn auto_resume_at(suspension: &Suspension) -> Option<TimestampMs> {
    let resumes = suspension.timeout_behavior == Some(TimeoutBehavior::AutoResumeWithTimeoutSignal);
    suspension.timeout_at.filter(|_| resumes)
}

pub(super) fn delay(execution: &Execution) -> GateReport {
    match execution.state.eligibility_state {
        EligibilityState::NotEligibleUntilTime => {
            let why = execution.state.blocking_reason.as_str();
            closed(Gate::Delay, format!("its instant has not come: {why}"))
                .opening_at(execution.eligible_at)
        }
        _ => open(Gate::Delay, "it is not delayed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::GateVerdict;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, execution, lapsed, revoked, running, seen, seen_pair,
    };
    use crate::machine::rows::AttemptOutcome;

    fn told(seen: &Snapshot) -> GateReport {
        lifecycle(seen.execution().unwrap(), seen, true, NOW)
    }

    fn is_inconsistent(report: &GateReport) -> bool {
        report.evidence.iter().any(|fact| matches!(fact, GateEvidence::Inconsistent { .. }))
    }

    #[test]
    fn a_live_lease_and_a_lost_one_name_their_worker() {
        let report = told(&seen_pair(running(LEASE_END)));
        assert_eq!(report.verdict, GateVerdict::Closed);
        assert!(
            matches!(
                report.evidence[..],
                [GateEvidence::Lease { expires_at: Some(LEASE_END), .. }]
            ),
            "{report:?}"
        );
        let report = told(&seen_pair(lapsed()));
        assert_eq!(report.verdict, GateVerdict::Open);
        assert!(
            matches!(
                report.evidence[..],
                [GateEvidence::Lease { worker_instance_id: Some(_), .. }]
            ),
            "{report:?}"
        );
        let report = told(&seen_pair(revoked()));
        assert_eq!(report.verdict, GateVerdict::Open);
        assert!(report.detail.contains("revoked"), "{report:?}");
    }

    #[test]
    fn a_row_that_runs_without_a_lease_is_unknown() {
        let (execution, attempt) = running(LEASE_END);
        let over = Attempt { outcome: Some(AttemptOutcome::Success), ..attempt.clone() };
        let mut unowned = execution.clone();
        unowned.state.ownership_state = OwnershipState::Unowned;

        for seen in [seen(execution.clone(), None), seen(execution, over), seen(unowned, attempt)] {
            let report = told(&seen);
            assert_eq!(report.verdict, GateVerdict::Unknown, "{report:?}");
            assert!(is_inconsistent(&report) && super::super::stops(&report), "{report:?}");
        }
    }

    /// The row of the execution counts: a claim takes it, whatever the attempt still stores.
    #[test]
    fn a_lease_on_a_row_that_waits_is_told_and_closes_nothing() {
        let (_, attempt) = running(LEASE_END);

        let report = told(&seen(execution(), attempt.clone()));
        assert_eq!(report.verdict, GateVerdict::Open);
        assert!(is_inconsistent(&report), "{report:?}");
        assert!(!super::super::stops(&report));

        let over = Attempt { lease_expires_at: Some(NOW), ..attempt };
        assert!(!is_inconsistent(&told(&seen(execution(), over))), "void at its instant");
    }
}
