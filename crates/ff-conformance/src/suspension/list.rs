//! Seeing what waits, and for what.

use std::time::Duration;

use ff_core::contracts::{
    ListPendingWaitpointsArgs, ListWaitingArgs, ResumeCondition, SignalMatcher,
    SuspensionRequester, TimeoutBehavior,
};
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::types::{ExecutionId, LaneId, Namespace};

use super::{delivered, park, parked, plain, to, waiting_for};
use crate::harness::{Bench, Refusal};

fn partition(index: u16) -> PartitionKey {
    PartitionKey::from(&Partition { family: PartitionFamily::Flow, index })
}

pub async fn open_waitpoints_are_listed_by_id_in_pages(bench: &Bench) {
    let held = bench.claimed().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        let key = "k";
        let one = bench.engine.create_waitpoint(&held.handle, key, Duration::from_secs(9)).await;
        made.push(one.unwrap().waitpoint_id);
    }
    made.sort_by_key(|id| id.0);

    let mut listed = Vec::new();
    let mut args = ListPendingWaitpointsArgs::new(held.execution().clone()).with_limit(2);
    loop {
        let page = bench.engine.list_pending_waitpoints(args.clone()).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| entry.waitpoint_id));
        let Some(cursor) = page.next_cursor else { break };
        args = args.with_after(cursor);
    }

    assert_eq!(listed, made);
    let unknown = ListPendingWaitpointsArgs::new(bench.new_id());
    bench.engine.list_pending_waitpoints(unknown).await.must_be_not_found("execution");
}

pub async fn a_listed_waitpoint_shows_what_it_takes_and_not_its_token(bench: &Bench) {
    let held = bench.claimed().await;
    let condition = ResumeCondition::Single {
        waitpoint_key: "k".to_owned(),
        matcher: SignalMatcher::ByName("approved".to_owned()),
    };
    let until = bench.after(5_000);
    let args = waiting_for(bench, condition, &["k"]).with_timeout(until, TimeoutBehavior::Fail);
    let (details, _) = park(bench, &held, args).await;

    let pending = ListPendingWaitpointsArgs::new(held.execution().clone());
    let page = bench.engine.list_pending_waitpoints(pending).await.unwrap();

    let [entry] = &page.entries[..] else { panic!("one waitpoint") };
    assert_eq!((entry.state.as_str(), entry.waitpoint_key.as_str()), ("active", "k"));
    assert_eq!(entry.required_signal_names, ["approved"]);
    assert_eq!((entry.activated_at, entry.expires_at), (Some(bench.now()), Some(until)));
    let (kid, digits) = details.waitpoint_token.as_str().split_once(':').unwrap();
    assert_eq!((entry.token_kid.as_str(), entry.token_fingerprint.as_str()), (kid, &digits[..16]));
}

pub async fn a_waitpoint_whose_end_has_come_is_not_listed_before_it_is_swept(bench: &Bench) {
    let held = bench.claimed().await;
    bench.engine.create_waitpoint(&held.handle, "k", Duration::from_secs(1)).await.unwrap();
    let listed = || async {
        let args = ListPendingWaitpointsArgs::new(held.execution().clone());
        bench.engine.list_pending_waitpoints(args).await.unwrap().entries.len()
    };
    bench.advance(999);
    assert_eq!(listed().await, 1);
    bench.advance(1);
    // Reads go by the time of the engine, which a write moves.
    bench.submit().await;
    assert_eq!(listed().await, 0);
    bench.sweep().await;
    assert_eq!(listed().await, 0);
}

pub async fn suspended_executions_are_listed_by_partition_in_pages(bench: &Bench) {
    let mut suspended = Vec::new();
    for partition in [0, 0, 3, 0] {
        let id = bench.new_id_in(partition);
        bench.submit().id(&id).await;
        let held = bench.claim().await;
        park(bench, &held, plain(bench)).await;
        suspended.push(id);
    }
    suspended.retain(|id: &ExecutionId| id.partition() == 0);

    let first = bench.engine.list_suspended(partition(0), None, 2).await.unwrap();
    let rest =
        bench.engine.list_suspended(partition(0), first.next_cursor.clone(), 2).await.unwrap();

    let all: Vec<_> = first.entries.iter().chain(&rest.entries).collect();
    assert_eq!(all.iter().map(|entry| entry.execution_id.clone()).collect::<Vec<_>>(), suspended);
    assert_eq!(all[0].reason, "waiting_for_approval");
    assert_eq!((first.next_cursor, rest.next_cursor), (Some(suspended[1].clone()), None));
    assert_eq!(bench.engine.list_suspended(partition(3), None, 9).await.unwrap().entries.len(), 1);
    assert!(bench.engine.list_suspended(partition(0), None, 0).await.unwrap().entries.is_empty());
}

pub async fn what_waits_is_listed_with_its_waitpoints(bench: &Bench) {
    let id = bench.submit().namespace("people").kind("deploy").await;
    let held = bench.claim().await;
    let keys = ["a", "b"];
    let condition = ResumeCondition::all_of_waitpoints(keys);
    let mut args = waiting_for(bench, condition, &keys)
        .with_timeout(bench.after(9_000), TimeoutBehavior::Escalate)
        .with_requester(SuspensionRequester::Policy)
        .with_continuation_metadata_pointer("step-7".to_owned());
    args.reason_code = ff_core::contracts::SuspensionReasonCode::WaitingForCallback;
    park(bench, &held, args).await;
    let (other, details) = parked(bench).await;
    let list = |args: ListWaitingArgs| async { bench.engine.list_waiting(args).await.unwrap() };

    let all = list(ListWaitingArgs::new()).await;
    assert_eq!((all.entries.len(), all.next_cursor), (2, None));
    let only = list(ListWaitingArgs::new().with_namespace(Namespace::new("people"))).await;
    let [entry] = &only.entries[..] else { panic!("one execution") };
    assert_eq!((&entry.execution_id, entry.execution_kind.as_str()), (&id, "deploy"));
    assert_eq!(entry.reason_code, "waiting_for_callback");
    assert_eq!(entry.requested_by, SuspensionRequester::Policy);
    assert_eq!(entry.timeout_at, Some(bench.after(9_000)));
    assert_eq!(entry.timeout_behavior, Some(TimeoutBehavior::Escalate));
    assert_eq!(entry.continuation_metadata_pointer.as_deref(), Some("step-7"));
    assert_eq!(entry.waitpoints.len(), 2);
    assert!(list(ListWaitingArgs::new().with_lane(LaneId::new("x"))).await.entries.is_empty());
    let first = list(ListWaitingArgs::new().with_limit(1)).await;
    let rest = list(ListWaitingArgs::new().with_after(first.next_cursor.unwrap())).await;
    assert_eq!(rest.entries[0].execution_id, *other.execution());

    delivered(bench, to(bench, other.execution(), &details)).await.unwrap();
    assert_eq!(list(ListWaitingArgs::new()).await.entries.len(), 1);
}
