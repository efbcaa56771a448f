//! Why an execution is not running: each gate with its evidence, at its instant.

use ff_core::backend::{CancelFlowPolicy, CancelFlowWait};
use ff_core::contracts::{
    Explanation, Gate, GateEvidence, GateReport, GateVerdict, TimeoutBehavior, WorkerStanding,
};
use ff_core::state::{LaneState, PublicState};
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs};

use crate::budget::{a_bound_lane, a_budget, bound, report};
use crate::flow::{Graph, call, graph, submitted};
use crate::harness::{Bench, LANE, Refusal};
use crate::suspension::{delivered, park, plain, to, waiting_for};
use crate::worker::{self, LIFE_MS};

async fn explained(bench: &Bench, id: &ExecutionId) -> Explanation {
    bench.engine.explain(id).await.unwrap()
}

fn closed(told: &Explanation) -> Vec<Gate> {
    told.closed().map(|gate| gate.gate).collect()
}

fn gate(told: &Explanation, which: Gate) -> GateReport {
    let found = told.gates.iter().find(|gate| gate.gate == which);
    found.unwrap_or_else(|| panic!("no gate {which:?}: {told:?}")).clone()
}

fn ahead(told: &Explanation) -> Option<u64> {
    told.position.map(|place| place.ahead)
}

// ---- The line ----

pub async fn what_waits_for_a_worker_has_its_place_in_line(bench: &Bench) {
    bench.submit().await;
    let id = bench.submit().await;

    let told = bench.unchanged_by(explained(bench, &id)).await;

    assert_eq!(closed(&told), []);
    assert_eq!(told.position.map(|place| (place.ahead, place.is_at_least)), Some((1, false)));
}

pub async fn a_place_in_line_follows_priority_and_is_among_those_with_the_same_needs(
    bench: &Bench,
) {
    let older = bench.submit().await;
    bench.advance(1);
    let urgent = bench.submit().priority(5).await;
    let needy = bench.submit().needs(&["gpu"]).await;
    bench.submit().lane("other").await;

    assert_eq!(ahead(&explained(bench, &urgent).await), Some(0));
    assert_eq!(ahead(&explained(bench, &older).await), Some(1));
    assert_eq!(ahead(&explained(bench, &needy).await), Some(0));
    bench.claim().await;
    assert_eq!(ahead(&explained(bench, &older).await), Some(0));
}

/// Whether or not a sweep has put the due ones in line.
pub async fn what_is_due_stands_in_line_from_its_instant_on(bench: &Bench) {
    let at = bench.after(500);
    bench.submit().delay_until(at).await;
    bench.advance(1);
    let later = bench.submit().delay_until(at).await;
    bench.submit().await;

    bench.advance_to(TimestampMs(at.0 - 1));
    let told = explained(bench, &later).await;
    assert_eq!((closed(&told), told.position), (vec![Gate::Delay], None));
    assert_eq!(gate(&told, Gate::Delay).opens_at, Some(at));

    bench.advance_to(at);
    let told = bench.unchanged_by(explained(bench, &later)).await;
    assert_eq!((closed(&told), ahead(&told)), (vec![], Some(1)));
    bench.sweep().await;
    assert_eq!(explained(bench, &later).await, told);
}

// ---- The execution itself ----

pub async fn an_end_that_is_due_is_told_as_such_until_it_is_stored(bench: &Bench) {
    let id = bench.submit().deadline(bench.after(100)).await;
    bench.advance(100);

    let told = bench.unchanged_by(explained(bench, &id)).await;

    let lifecycle = gate(&told, Gate::Lifecycle);
    assert_eq!((lifecycle.verdict, lifecycle.evidence.len()), (GateVerdict::Closed, 0));
    assert_eq!(told.summary, "it is due to end as expired: the next claim or sweep stores that");
    bench.sweep().await;
    assert_eq!(explained(bench, &id).await.summary, "it has ended: expired");
}

pub async fn a_delay_a_run_and_an_end_are_told(bench: &Bench) {
    let delayed = bench.submit().delay_until(bench.after(500)).await;
    let told = explained(bench, &delayed).await;
    let delay = told.closed().next().unwrap();
    assert_eq!((delay.gate, delay.opens_at), (Gate::Delay, Some(bench.after(500))));
    assert_eq!(told.position, None);

    let held = bench.claimed().await;
    let told = explained(bench, held.execution()).await;
    assert!(matches!(told.gates[0].evidence[..], [GateEvidence::Lease { .. }]));
    held.complete(None).await.unwrap();
    let told = explained(bench, held.execution()).await;
    let [GateEvidence::Ended { at, .. }] = told.gates[0].evidence[..] else { panic!("{told:?}") };
    assert_eq!(at, Some(bench.now()));
}

pub async fn a_lease_that_runs_out_is_told_from_its_instant_on(bench: &Bench) {
    let held = bench.claimed().await;
    let end = held.expires_at().await;
    let lease = |told: &Explanation| match &gate(told, Gate::Lifecycle).evidence[..] {
        [GateEvidence::Lease { worker_instance_id: Some(_), expires_at }] => *expires_at,
        other => panic!("{other:?}"),
    };

    bench.advance_to(TimestampMs(end.0 - 1));
    let told = explained(bench, held.execution()).await;
    assert_eq!((closed(&told), lease(&told)), (vec![Gate::Lifecycle], Some(end)));
    assert_eq!(ahead(&told), None);

    bench.advance_to(end);
    let told = bench.unchanged_by(explained(bench, held.execution())).await;
    assert_eq!((closed(&told), lease(&told)), (vec![], Some(end)));
    assert_eq!(ahead(&told), Some(0));
    bench.sweep().await;
    assert_eq!(explained(bench, held.execution()).await, told);
}

pub async fn a_revoked_lease_leaves_it_in_line(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();

    let told = explained(bench, held.execution()).await;

    assert_eq!((closed(&told), ahead(&told)), (vec![], Some(0)));
    assert!(gate(&told, Gate::Lifecycle).detail.contains("revoked"), "{told:?}");
}

// ---- Signals ----

pub async fn a_suspension_names_its_waitpoints_since_when_and_until_when(bench: &Bench) {
    let held = bench.claimed().await;
    let (since, until) = (bench.now(), bench.after(1_000));
    let condition = ff_core::contracts::ResumeCondition::all_of_waitpoints(["left", "right"]);
    let args = waiting_for(bench, condition, &["right", "left"])
        .with_timeout(until, TimeoutBehavior::AutoResumeWithTimeoutSignal);
    let (details, _) = park(bench, &held, args).await;
    bench.advance_to(TimestampMs(until.0 - 1));

    let told = bench.unchanged_by(explained(bench, held.execution())).await;

    assert_eq!(closed(&told), [Gate::Suspension]);
    let waits = gate(&told, Gate::Suspension);
    assert_eq!(waits.opens_at, Some(until));
    let [GateEvidence::Suspension { suspension_id, since: begun, until: ends, .. }, rest @ ..] =
        &waits.evidence[..]
    else {
        panic!("{waits:?}")
    };
    assert_eq!((suspension_id, *begun, *ends), (&details.suspension_id, since, Some(until)));
    let keys: Vec<_> = rest
        .iter()
        .map(|fact| match fact {
            GateEvidence::Waitpoint { waitpoint_id, key, state, since, .. } => {
                let (id, _) = crate::suspension::at_key(&details, key);
                assert_eq!(waitpoint_id, id);
                (key.as_str(), state.as_str(), *since)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(keys, [("left", "active", since), ("right", "active", since)]);
    assert!(told.summary.contains("left, right"), "{}", told.summary);

    bench.advance_to(until);
    let told = explained(bench, held.execution()).await;
    assert_eq!((closed(&told), ahead(&told)), (vec![], Some(0)));
}

pub async fn a_suspension_opens_by_itself_only_where_its_timeout_resumes(bench: &Bench) {
    for behavior in [TimeoutBehavior::Fail, TimeoutBehavior::Escalate] {
        let held = bench.claimed().await;
        let until = bench.after(1_000);
        park(bench, &held, plain(bench).with_timeout(until, behavior)).await;

        let told = explained(bench, held.execution()).await;
        let waits = gate(&told, Gate::Suspension);
        assert_eq!((waits.verdict, waits.opens_at), (GateVerdict::Closed, None), "{behavior:?}");
        assert!(
            waits.evidence.iter().any(|fact| matches!(
                fact,
                GateEvidence::Suspension { until: Some(at), at_timeout: Some(how), .. }
                    if *at == until && how == behavior.as_wire_str()
            )),
            "{waits:?}"
        );

        bench.advance_to(until);
        let told = explained(bench, held.execution()).await;
        assert_eq!(told.position, None, "{behavior:?}");
    }
}

pub async fn a_resumed_execution_waits_at_no_waitpoint(bench: &Bench) {
    let held = bench.claimed().await;
    let (details, _) = park(bench, &held, plain(bench)).await;
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();

    let told = explained(bench, held.execution()).await;

    assert_eq!((closed(&told), ahead(&told)), (vec![], Some(0)));
    assert_eq!(gate(&told, Gate::Suspension).evidence, []);
}

// ---- Flows ----

async fn cancel(bench: &Bench, graph: &Graph<'_>, policy: CancelFlowPolicy) {
    let wait = CancelFlowWait::NoWait;
    bench.engine.cancel_flow(&graph.flow, policy, wait).await.unwrap();
}

/// The flow is so large that the cancel leaves members to a sweep.
pub async fn a_member_of_a_cancelled_flow_shows_that_gate_whether_or_not_a_sweep_ran(
    bench: &Bench,
) {
    let mut args = call(bench, 900, &[]);
    for node in &mut args.nodes {
        node.execution.lane_id = LaneId::new("large");
    }
    let graph = submitted(bench, args).await;
    let last = graph.nodes.last().unwrap();
    let at = bench.now();
    cancel(bench, &graph, CancelFlowPolicy::CancelAll).await;

    let told = bench.unchanged_by(explained(bench, last)).await;

    assert_eq!(told.public_state, PublicState::Cancelled);
    assert_eq!(closed(&told), [Gate::Lifecycle, Gate::Flow]);
    let [GateEvidence::FlowCancelled { flow_id, policy, at: cancelled_at, .. }] =
        &gate(&told, Gate::Flow).evidence[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((flow_id, policy.as_str(), *cancelled_at), (&graph.flow, "cancel_all", at));
    assert!(told.summary.contains("flow was cancelled"), "{}", told.summary);
    for _ in 0..20 {
        bench.sweep().await;
    }
    assert_eq!(explained(bench, last).await, told);
}

pub async fn a_member_that_the_cancel_of_its_flow_leaves_alone_says_so(bench: &Bench) {
    let graph = graph(bench, 2, &[]).await;
    assert_eq!(
        gate(&explained(bench, &graph.nodes[1]).await, Gate::Flow).detail,
        "its flow is not cancelled"
    );
    cancel(bench, &graph, CancelFlowPolicy::FlowOnly).await;

    let told = explained(bench, &graph.nodes[1]).await;

    assert_eq!((closed(&told), ahead(&told)), (vec![], Some(0)));
    let flow = gate(&told, Gate::Flow);
    assert!(flow.detail.contains("lets it go on"), "{flow:?}");
    assert!(matches!(flow.evidence[..], [GateEvidence::FlowCancelled { .. }]), "{flow:?}");
    graph.complete(0).await;
    let told = explained(bench, &graph.nodes[0]).await;
    assert_eq!(closed(&told), [Gate::Lifecycle]);
}

pub async fn a_blocked_member_names_the_upstreams_it_still_waits_for(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 2), (1, 2)]).await;
    let upstreams = |told: &Explanation| -> Vec<(ExecutionId, String)> {
        gate(told, Gate::Dependency)
            .evidence
            .iter()
            .map(|fact| match fact {
                GateEvidence::Edge { upstream, state, .. } => (upstream.clone(), state.clone()),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let told = explained(bench, &graph.nodes[2]).await;
    assert_eq!((closed(&told), upstreams(&told).len()), (vec![Gate::Dependency], 2));

    graph.complete(0).await;
    let _running = graph.claim(1).await;
    let told = explained(bench, &graph.nodes[2]).await;

    assert_eq!(upstreams(&told), [(graph.nodes[1].clone(), "active".to_owned())]);
    assert!(told.summary.contains(&graph.nodes[1].to_string()), "{}", told.summary);
}

// ---- Workers ----

/// What the capability gate says, how the workers stand, and those it names: who lives, and what
/// each holds.
fn capability(told: &Explanation) -> (GateVerdict, WorkerStanding, Vec<(String, bool, u64)>) {
    let report = gate(told, Gate::Capability);
    let GateEvidence::Workers { standing, .. } = report.evidence[0] else { panic!("{report:?}") };
    let workers = report.evidence.iter().filter_map(|fact| match fact {
        GateEvidence::Worker { worker_instance_id, is_alive, holds, .. } => {
            Some((worker_instance_id.to_string(), *is_alive, *holds))
        }
        _ => None,
    });
    (report.verdict, standing, workers.collect())
}

pub async fn a_worker_that_fits_is_free_then_busy_then_gone(bench: &Bench) {
    let one = |is_alive, holds| vec![("worker-1".to_owned(), is_alive, holds)];
    worker::register(bench, "worker-1").await;
    let begun = bench.now();
    let held = bench.claimed().await;
    let id = bench.submit().needs(&["gpu"]).await;

    let told = explained(bench, &id).await;
    let (open, gone) = (GateVerdict::Open, GateVerdict::Closed);
    assert_eq!(capability(&told), (open, WorkerStanding::AllBusy, one(true, 1)));
    assert!(told.summary.contains("busy"), "{}", told.summary);
    held.complete(None).await.unwrap();
    let told = explained(bench, &id).await;
    assert_eq!(capability(&told), (open, WorkerStanding::Free, one(true, 0)));
    assert!(!told.summary.contains("busy"), "{}", told.summary);

    bench.advance(LIFE_MS - 1);
    assert_eq!(capability(&explained(bench, &id).await).1, WorkerStanding::Free);
    bench.advance(1);
    let told = explained(bench, &id).await;
    assert_eq!(capability(&told), (gone, WorkerStanding::NoneAlive, one(false, 0)));
    let report = gate(&told, Gate::Capability);
    assert!(
        matches!(report.evidence[1], GateEvidence::Worker { announced_at, .. } if announced_at == begun),
        "{report:?}"
    );
    bench.sweep().await;
    assert_eq!(explained(bench, &id).await, told);
}

pub async fn needs_that_nobody_ever_offered_are_named(bench: &Bench) {
    let never = WorkerStanding::NeverRegistered;
    let id = bench.submit().needs(&["gpu", "tpu"]).await;
    let told = explained(bench, &id).await;
    assert_eq!(capability(&told), (GateVerdict::Unknown, never, vec![]));
    assert_eq!(ahead(&told), Some(0));

    worker::register(bench, "worker-1").await;
    let told = explained(bench, &id).await;
    assert_eq!(capability(&told), (GateVerdict::Closed, never, vec![]));
    let report = gate(&told, Gate::Capability);
    assert_eq!(report.evidence[1..], [GateEvidence::MissingCapability { token: "tpu".to_owned() }]);

    worker::mark_dead(bench, "worker-1").await;
    let told = explained(bench, &id).await;
    assert_eq!(capability(&told), (GateVerdict::Closed, never, vec![]));
}

pub async fn a_worker_of_another_lane_or_namespace_does_not_fit(bench: &Bench) {
    let mut elsewhere = worker::args("far");
    elsewhere.namespace = Namespace::new("elsewhere");
    bench.engine.register_worker(elsewhere).await.unwrap();
    let id = bench.submit().lane("third").await;
    let told = explained(bench, &id).await;
    assert_eq!(capability(&told).0, GateVerdict::Unknown, "{told:?}");

    worker::register(bench, "worker-1").await;

    let told = explained(bench, &id).await;
    assert_eq!(
        capability(&told),
        (GateVerdict::Closed, WorkerStanding::NeverRegistered, vec![]),
        "{told:?}"
    );
    let id = bench.submit().lane("other").await;
    assert_eq!(capability(&explained(bench, &id).await).1, WorkerStanding::Free);
}

// ---- Budgets, quotas, lanes ----

pub async fn a_spent_budget_is_told_with_its_counts_before_any_claim_met_it(bench: &Bench) {
    let budget = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    report(bench, &budget, 10).await;
    let id = bound(bench, &budget).await;

    for _ in 0..2 {
        let told = explained(bench, &id).await;
        let gate = told.closed().next().unwrap();
        assert_eq!((gate.gate, gate.opens_at.is_some()), (Gate::Budget, true));
        assert!(matches!(
            gate.evidence[..],
            [GateEvidence::BudgetDimension { usage: 10, hard_limit: 10, .. }]
        ));
        bench.claim().nothing().await;
    }
}

pub async fn a_spent_budget_opens_at_its_reset(bench: &Bench) {
    let budget = a_budget(bench, 10, |args| args.reset_interval_ms = 1_000).await;
    let reset = bench.after(1_000);
    report(bench, &budget, 10).await;
    let id = bound(bench, &budget).await;

    bench.advance_to(TimestampMs(reset.0 - 1));
    let spent = gate(&explained(bench, &id).await, Gate::Budget);
    assert_eq!((spent.verdict, spent.opens_at), (GateVerdict::Closed, Some(reset)));

    bench.advance_to(reset);
    let told = explained(bench, &id).await;
    assert_eq!(closed(&told), []);
}

pub async fn a_full_quota_is_told_with_its_holders(bench: &Bench) {
    a_bound_lane(bench, 0, 1).await;
    let held = bench.claimed().await;
    let id = bench.submit().await;

    let told = explained(bench, &id).await;

    let gate = told.closed().next().unwrap();
    assert_eq!(gate.gate, Gate::Quota);
    let holder = gate.evidence.iter().find_map(|fact| match fact {
        GateEvidence::QuotaHolder { execution_id, .. } => Some(execution_id),
        _ => None,
    });
    assert_eq!(holder, Some(held.execution()));
}

pub async fn a_paused_lane_and_unknown_workers_are_told(bench: &Bench) {
    let id = bench.submit().needs(&["gpu"]).await;
    bench.engine.set_lane_state(&LANE.into(), LaneState::Paused).await.unwrap();

    let told = explained(bench, &id).await;

    assert_eq!(closed(&told), [Gate::Lane]);
    assert_eq!(gate(&told, Gate::Capability).verdict, GateVerdict::Unknown);
}

pub async fn an_unknown_execution_is_not_found(bench: &Bench) {
    bench.engine.explain(&bench.new_id()).await.must_be_not_found("execution");
}
