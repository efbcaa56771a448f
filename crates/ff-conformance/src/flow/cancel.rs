//! Cancelling a flow.

use std::time::Duration;

use ff_core::backend::{CancelFlowPolicy, CancelFlowWait, FailureClass};
use ff_core::contracts::{CancelFlowArgs, CancelFlowHeader, CancelFlowResult};
use ff_core::engine_error::StateKind;
use ff_core::policy::{ExecutionPolicy, TimeoutPolicy};
use ff_core::state::PublicState;
use ff_core::types::{FlowId, LaneId};

use super::{call, empty, graph, submitted};
use crate::budget::{a_budget, report};
use crate::harness::{Bench, Refusal, fixed};

use CancelFlowPolicy::{CancelAll, CancelPending, FlowOnly};
use CancelFlowWait::{NoWait, WaitIndefinite, WaitTimeout};

async fn cancel(
    bench: &Bench,
    flow: &FlowId,
    policy: CancelFlowPolicy,
    wait: CancelFlowWait,
) -> Result<(String, Vec<String>), ff_core::EngineError> {
    match bench.engine.cancel_flow(flow, policy, wait).await? {
        CancelFlowResult::Cancelled { cancellation_policy, member_execution_ids } => {
            Ok((cancellation_policy, member_execution_ids))
        }
        other => panic!("{other:?}"),
    }
}

pub async fn every_member_ends_fenced_and_with_one_completion(bench: &Bench) {
    let graph = graph(bench, 5, &[(0, 1), (0, 2), (2, 3)]).await;
    graph.complete(0).await;
    let running = graph.claim(1).await;

    let (policy, members) = cancel(bench, &graph.flow, CancelAll, NoWait).await.unwrap();

    assert_eq!(policy, "cancel_all");
    assert_eq!(members.len(), 4);
    let (done, gone) = (PublicState::Completed, PublicState::Cancelled);
    assert_eq!(graph.states().await, [done, gone, gone, gone, gone]);
    assert_eq!(running.complete(None).await.must_be_not_active().terminal_outcome, "cancelled");
    for place in 0..5 {
        assert_eq!(graph.ends(place).await, 1);
        bench.claim().lane(&super::lane(place)).nothing().await;
    }
    let seen = bench.engine.describe_flow(&graph.flow).await.unwrap().unwrap();
    assert_eq!(seen.public_flow_state, "cancelled");
    assert_eq!(seen.cancel_reason.as_deref(), Some("flow_cancelled"));
    assert_eq!(seen.cancellation_policy.as_deref(), Some("cancel_all"));
    assert_eq!(seen.cancelled_at, Some(bench.now()));
    let reason = bench.summary(&graph.nodes[4]).await.reason.unwrap();
    assert!(reason.contains("flow_cancelled"), "{reason}");
}

pub async fn nothing_of_a_large_cancelled_flow_begins_or_ends_otherwise(bench: &Bench) {
    const SIZE: usize = 900;
    let mut args = call(bench, SIZE, &[]);
    for node in &mut args.nodes {
        node.execution.lane_id = LaneId::new("large");
    }
    let graph = submitted(bench, args).await;
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(bench.claim().lane("large").await);
    }

    cancel(bench, &graph.flow, CancelAll, NoWait).await.unwrap();

    // More members than a step ends, so the mark alone stands in front of these.
    let last = held.pop().unwrap();
    assert_eq!(last.complete(None).await.must_be_not_active().terminal_outcome, "cancelled");
    assert!(last.renew().await.is_err());
    assert!(last.progress(Some(1), None).await.is_err());
    bench.claim().lane("large").nothing().await;
    for node in &graph.nodes {
        assert_eq!(bench.state(node).await, PublicState::Cancelled);
    }
    assert_eq!(bench.all_completions().await.len(), SIZE);
}

pub async fn pending_members_end_and_running_ones_go_on(bench: &Bench) {
    let graph = graph(bench, 4, &[(0, 1)]).await;
    let running = graph.claim(0).await;
    let parked = graph.claim(2).await;
    parked.delay(bench.after(10)).await.unwrap();

    let (policy, members) = cancel(bench, &graph.flow, CancelPending, NoWait).await.unwrap();

    assert_eq!((policy.as_str(), members.len()), ("cancel_pending", 2));
    assert_eq!(graph.state(1).await, PublicState::Cancelled);
    assert_eq!(graph.state(3).await, PublicState::Cancelled);
    running.complete(None).await.unwrap();
    bench.advance(10);
    graph.complete(2).await;
    assert_eq!(graph.flow_state().await, "cancelled");
}

pub async fn a_member_that_went_on_gets_no_further_attempt(bench: &Bench) {
    let mut args = call(bench, 2, &[]);
    for node in &mut args.nodes {
        node.execution.policy =
            Some(ExecutionPolicy { retry_policy: Some(fixed(5, 0)), ..ExecutionPolicy::default() });
    }
    let graph = submitted(bench, args).await;
    let (fails, lapses) = (graph.claim(0).await, graph.claim(1).await);
    cancel(bench, &graph.flow, CancelPending, NoWait).await.unwrap();

    fails.fail("broken", FailureClass::Transient).await.unwrap();
    bench.let_lease_expire(&lapses).await;

    assert_eq!(graph.state(0).await, PublicState::Failed);
    bench.claim().lane("n1").nothing().await;
    assert_eq!(graph.state(1).await, PublicState::Cancelled);
}

pub async fn a_member_that_went_on_ends_with_its_revoked_lease(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;
    let running = graph.claim(0).await;
    cancel(bench, &graph.flow, CancelPending, NoWait).await.unwrap();

    bench.engine.revoke_lease(bench.revoke_args(running.execution())).await.unwrap();

    assert_eq!(graph.state(0).await, PublicState::Cancelled);
    assert_eq!(graph.ends(0).await, 1);
    assert_eq!(running.complete(None).await.must_be_not_active().terminal_outcome, "cancelled");
}

pub async fn a_member_whose_lease_is_over_is_pending_though_no_sweep_noticed(bench: &Bench) {
    let graph = graph(bench, 2, &[]).await;
    let lost = graph.claim(0).await;
    bench.advance(1);
    graph.claim(1).await;
    bench.let_lease_expire(&lost).await;

    let (_, members) = cancel(bench, &graph.flow, CancelPending, WaitIndefinite).await.unwrap();

    assert_eq!(members, [graph.nodes[0].to_string()]);
    assert_eq!(graph.states().await, [PublicState::Cancelled, PublicState::Active]);
}

pub async fn a_header_lists_a_member_whose_attempt_took_too_long(bench: &Bench) {
    let mut args = call(bench, 1, &[]);
    args.nodes[0].execution.policy = Some(ExecutionPolicy {
        retry_policy: Some(fixed(1, 0)),
        timeout_policy: Some(TimeoutPolicy {
            attempt_timeout_ms: Some(10),
            execution_deadline_ms: None,
            max_reclaim_count: 1,
        }),
        ..ExecutionPolicy::default()
    });
    let graph = submitted(bench, args).await;
    graph.claim(0).await;
    bench.advance(10);

    let cancellation_policy = "cancel_pending".to_owned();
    let args = CancelFlowArgs { cancellation_policy, ..header(bench, &graph.flow) };
    let header = bench.engine.cancel_flow_header(args).await.unwrap();

    let CancelFlowHeader::Cancelled { member_execution_ids, .. } = header else {
        panic!("{header:?}")
    };
    assert_eq!(member_execution_ids, [graph.nodes[0].to_string()]);
    assert_eq!(graph.state(0).await, PublicState::Cancelled);
}

pub async fn a_lost_member_that_waits_behind_a_gate_ends(bench: &Bench) {
    let budget = a_budget(bench, 10, |_| {}).await;
    let mut args = call(bench, 2, &[]);
    for node in &mut args.nodes {
        let budget_ids = vec![budget.clone()];
        node.execution.policy = Some(ExecutionPolicy { budget_ids, ..ExecutionPolicy::default() });
    }
    let graph = submitted(bench, args).await;
    let (lost, parked) = (graph.claim(0).await, graph.claim(1).await);
    parked.delay(bench.after(1)).await.unwrap();
    bench.let_lease_expire(&lost).await;
    report(bench, &budget, 10).await;
    for (place, lane) in [(0, "n0"), (1, "n1")] {
        bench.claim().lane(lane).nothing().await;
        assert_eq!(graph.state(place).await, PublicState::RateLimited);
    }

    cancel(bench, &graph.flow, CancelPending, NoWait).await.unwrap();

    assert_eq!(graph.state(0).await, PublicState::Cancelled);
    assert_eq!(graph.state(1).await, PublicState::RateLimited);
}

pub async fn flow_only_closes_the_flow_and_touches_no_member(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;

    let (policy, members) = cancel(bench, &graph.flow, FlowOnly, WaitIndefinite).await.unwrap();

    assert_eq!((policy.as_str(), members.len()), ("cancel_flow_only", 0));
    graph.complete(0).await;
    graph.complete(1).await;
    assert_eq!(graph.flow_state().await, "cancelled");
}

pub async fn a_flow_is_cancelled_once(bench: &Bench) {
    let cancelled = graph(bench, 1, &[]).await;
    cancel(bench, &cancelled.flow, CancelAll, NoWait).await.unwrap();
    let completed = graph(bench, 1, &[]).await;
    completed.complete(0).await;

    for flow in [&cancelled.flow, &completed.flow] {
        bench
            .unchanged_by(cancel(bench, flow, CancelAll, NoWait))
            .await
            .must_be_state(&StateKind::FlowAlreadyTerminal);
    }
    cancel(bench, &bench.new_flow_id(), CancelAll, NoWait).await.must_be_not_found("flow");
    cancel(bench, &empty(bench).await, CancelAll, WaitIndefinite).await.unwrap();
}

pub async fn a_wait_is_over_when_every_member_has_ended(bench: &Bench) {
    const SIZE: usize = 700;
    let large = graph(bench, SIZE, &[]).await;

    cancel(bench, &large.flow, CancelAll, WaitTimeout(Duration::from_secs(60))).await.unwrap();

    for node in &large.nodes {
        assert_eq!(bench.state(node).await, PublicState::Cancelled);
    }
}

pub async fn a_wait_that_is_over_too_early_is_told_and_the_cancel_goes_on(bench: &Bench) {
    let large = graph(bench, 700, &[]).await;

    let refused = cancel(bench, &large.flow, CancelAll, WaitTimeout(Duration::ZERO)).await;

    assert!(matches!(refused, Err(ff_core::EngineError::Timeout { op: "cancel_flow", .. })));
    for _ in 0..4 {
        bench.sweep().await;
    }
    assert_eq!(bench.all_completions().await.len(), 700);
}

fn header(bench: &Bench, flow: &FlowId) -> CancelFlowArgs {
    CancelFlowArgs {
        flow_id: flow.clone(),
        reason: "enough".to_owned(),
        cancellation_policy: "cancel_all".to_owned(),
        now: bench.now(),
    }
}

pub async fn a_header_lists_its_members_until_they_are_acknowledged(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 1)]).await;
    graph.complete(2).await;
    let engine = &bench.engine;
    let first = engine.cancel_flow_header(header(bench, &graph.flow)).await.unwrap();

    let CancelFlowHeader::Cancelled { member_execution_ids, cancellation_policy } = first else {
        panic!()
    };
    assert_eq!(cancellation_policy, "cancel_all");
    assert_eq!(member_execution_ids, [graph.nodes[0].to_string(), graph.nodes[1].to_string()]);
    assert_eq!(graph.state(0).await, PublicState::Cancelled);
    let summary = bench.summary(&graph.nodes[1]).await;
    assert!(summary.reason.unwrap().contains("enough"));

    engine.ack_cancel_member(&graph.flow, &graph.nodes[0]).await.unwrap();
    engine.ack_cancel_member(&graph.flow, &graph.nodes[0]).await.unwrap();
    let left = |answer| match answer {
        CancelFlowHeader::AlreadyTerminal {
            stored_cancellation_policy,
            stored_cancel_reason,
            member_execution_ids,
        } => {
            assert_eq!(stored_cancellation_policy.as_deref(), Some("cancel_all"));
            assert_eq!(stored_cancel_reason.as_deref(), Some("enough"));
            member_execution_ids
        }
        other => panic!("{other:?}"),
    };
    let again = engine.cancel_flow_header(header(bench, &graph.flow)).await.unwrap();
    assert_eq!(left(again), [graph.nodes[1].to_string()]);
    engine.ack_cancel_member(&graph.flow, &graph.nodes[1]).await.unwrap();
    engine.ack_cancel_member(&bench.new_flow_id(), &graph.nodes[1]).await.unwrap();
    let all = engine.cancel_flow_header(header(bench, &graph.flow)).await.unwrap();
    assert_eq!(left(all).len(), 3);
}

pub async fn a_header_with_an_unknown_policy_or_flow_is_refused(bench: &Bench) {
    let flow = empty(bench).await;
    let mut args = header(bench, &flow);
    args.cancellation_policy = "all".to_owned();
    let told = bench.engine.cancel_flow_header(args).await.must_be_invalid();
    assert!(told.contains("cancel_all"), "{told}");

    let unknown = header(bench, &bench.new_flow_id());
    bench.engine.cancel_flow_header(unknown).await.must_be_not_found("flow");
}

pub async fn a_member_of_a_cancelled_flow_cannot_be_replayed(bench: &Bench) {
    let graph = graph(bench, 1, &[]).await;
    cancel(bench, &graph.flow, CancelAll, NoWait).await.unwrap();

    let refused = bench.unchanged_by(graph.replay(0)).await;

    refused.must_be_state(&StateKind::FlowAlreadyTerminal);
}
