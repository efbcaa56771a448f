//! Following what operators change.

use ff_core::EngineError;
use ff_core::backend::{CancelFlowPolicy, CancelFlowWait, FailureClass, ScannerFilter};
use ff_core::contracts::{ChangePriorityArgs, ChangePriorityResult};
use ff_core::state::PublicState;
use ff_core::stream_events::{OperatorChange, OperatorEvent, OperatorEventPage};
use ff_core::stream_subscribe::{StreamCursor, encode_event_cursor};
use ff_core::types::ExecutionId;
use futures_util::StreamExt;

use crate::flow::graph;
use crate::harness::{Bench, Refusal, beginning};

const NOOP: ScannerFilter = ScannerFilter::NOOP;

async fn change_priority(bench: &Bench, id: &ExecutionId, priority: i32) {
    let args = ChangePriorityArgs {
        execution_id: id.clone(),
        new_priority: priority,
        lane_id: crate::harness::LANE.into(),
        now: bench.now(),
    };
    let ChangePriorityResult::Changed { .. } = bench.engine.change_priority(args).await.unwrap();
}

/// The next `count` changes behind `cursor`.
async fn next(
    bench: &Bench,
    cursor: StreamCursor,
    filter: &ScannerFilter,
    count: usize,
) -> Vec<OperatorEvent> {
    let stream = bench.engine.subscribe_operator_events(cursor, filter).await.unwrap();
    stream.take(count).map(Result::unwrap).collect().await
}

/// All changes, which a last one of the priority of `marker` ends.
async fn all(bench: &Bench, marker: &ExecutionId) -> Vec<OperatorEvent> {
    change_priority(bench, marker, 8_999).await;
    let last = OperatorChange::PriorityChanged {
        execution_id: marker.clone(),
        old_priority: 0,
        new_priority: 8_999,
    };
    let mut stream = bench.engine.subscribe_operator_events(beginning(), &NOOP).await.unwrap();
    let mut found = Vec::new();
    loop {
        let event = stream.next().await.unwrap().unwrap();
        if event.change == last {
            return found;
        }
        found.push(event);
    }
}

pub async fn a_changed_priority_is_told_with_both(bench: &Bench) {
    let id = bench.submit().priority(5).await;
    bench.advance(1);
    change_priority(bench, &id, 70).await;

    let told = next(bench, beginning(), &NOOP, 1).await.remove(0);

    let change =
        OperatorChange::PriorityChanged { execution_id: id, old_priority: 5, new_priority: 70 };
    assert_eq!((told.change, told.at), (change, bench.now()));
}

pub async fn a_replay_is_told_with_its_branch(bench: &Bench) {
    let held = bench.completed().await;
    bench.advance(1);
    bench.replay(held.execution()).await.unwrap();

    let told = next(bench, beginning(), &NOOP, 1).await.remove(0);

    let change = OperatorChange::Replayed {
        execution_id: held.execution().clone(),
        branch: "normal".to_owned(),
        groups_reset: None,
    };
    assert_eq!((told.change, told.at), (change, bench.now()));
}

pub async fn the_replay_of_a_skipped_member_opens_its_group(bench: &Bench) {
    let graph = graph(bench, 2, &[(0, 1)]).await;
    graph.claim(0).await.fail("broken", FailureClass::Permanent).await.unwrap();
    assert_eq!(bench.state(&graph.nodes[1]).await, PublicState::Skipped);
    bench.replay(&graph.nodes[1]).await.unwrap();

    let told = next(bench, beginning(), &NOOP, 1).await.remove(0);

    let change = OperatorChange::Replayed {
        execution_id: graph.nodes[1].clone(),
        branch: "skipped_flow_member".to_owned(),
        groups_reset: Some(1),
    };
    assert_eq!(told.change, change);
}

pub async fn the_cancel_of_a_flow_is_told_with_what_it_reaches(bench: &Bench) {
    let graph = graph(bench, 3, &[(0, 1)]).await;
    graph.complete(0).await;
    bench.advance(1);
    let (policy, wait) = (CancelFlowPolicy::CancelAll, CancelFlowWait::NoWait);
    bench.engine.cancel_flow(&graph.flow, policy, wait).await.unwrap();

    let told = next(bench, beginning(), &NOOP, 1).await.remove(0);

    let change = OperatorChange::FlowCancelRequested {
        flow_id: graph.flow.clone(),
        cancellation_policy: "cancel_all".to_owned(),
        reason: "flow_cancelled".to_owned(),
        member_count: 2,
    };
    assert_eq!((told.change, told.at), (change, bench.now()));
}

/// What is refused, or repeated without an effect.
pub async fn what_changes_nothing_is_not_told(bench: &Bench) {
    let marker = bench.submit().await;
    let waiting = bench.submit().await;
    assert!(bench.replay(&waiting).await.is_err());
    let graph = graph(bench, 1, &[]).await;
    let (policy, wait) = (CancelFlowPolicy::CancelAll, CancelFlowWait::NoWait);
    bench.engine.cancel_flow(&graph.flow, policy, wait).await.unwrap();
    let _repeat = bench.engine.cancel_flow(&graph.flow, policy, wait).await;

    let told = all(bench, &marker).await;

    assert!(
        matches!(
            told[..],
            [OperatorEvent { change: OperatorChange::FlowCancelRequested { .. }, .. }]
        ),
        "{told:?}"
    );
}

pub async fn a_subscriber_resumes_behind_any_change(bench: &Bench) {
    let id = bench.submit().await;
    for priority in 1..=600 {
        change_priority(bench, &id, priority).await;
    }

    let told = next(bench, beginning(), &NOOP, 600).await;

    let priorities = told.iter().map(|event| match event.change {
        OperatorChange::PriorityChanged { new_priority, .. } => new_priority,
        _ => 0,
    });
    assert!(priorities.eq(1..=600));
    assert!(told.is_sorted_by(|a, b| a.cursor.as_bytes() < b.cursor.as_bytes()));
    for place in [0, 255, 256, 598] {
        let resumed = next(bench, told[place].cursor.clone(), &NOOP, 599 - place).await;
        assert_eq!(resumed, told[place + 1..]);
    }
}

pub async fn a_subscriber_that_waits_is_woken_from_now_on(bench: &Bench) {
    let id = bench.submit().await;
    change_priority(bench, &id, 1).await;
    let engine = &bench.engine;
    let mut stream = engine.subscribe_operator_events(StreamCursor::empty(), &NOOP).await.unwrap();

    let told = bench.woken_by(stream.next(), change_priority(bench, &id, 2)).await;

    let change =
        OperatorChange::PriorityChanged { execution_id: id, old_priority: 1, new_priority: 2 };
    assert_eq!(told.unwrap().unwrap().change, change);
}

pub async fn a_filter_passes_over_other_changes(bench: &Bench) {
    let theirs = bench.submit().await;
    let ours = bench.submit().namespace("ours").tag("cairn.instance_id", "i-1").await;
    for (id, priority) in [(&theirs, 1), (&ours, 2), (&theirs, 3), (&ours, 4)] {
        change_priority(bench, id, priority).await;
    }
    for filter in [
        ScannerFilter::new().with_namespace("ours"),
        ScannerFilter::new().with_instance_tag("cairn.instance_id", "i-1"),
    ] {
        let told = next(bench, beginning(), &filter, 2).await;

        let changed = told.iter().map(|event| match &event.change {
            OperatorChange::PriorityChanged { execution_id, new_priority, .. } => {
                (execution_id, *new_priority)
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(changed.collect::<Vec<_>>(), [(&ours, 2), (&ours, 4)]);
    }
    let filter = ScannerFilter::new().with_instance_tag("team", "core");
    let refused = bench.engine.subscribe_operator_events(beginning(), &filter).await;
    refused.map(|_| ()).must_be_invalid();
}

async fn subscribed(bench: &Bench, cursor: StreamCursor) -> Result<(), EngineError> {
    bench.engine.subscribe_operator_events(cursor, &NOOP).await.map(|_| ())
}

pub async fn a_malformed_cursor_and_one_of_another_store_are_refused(bench: &Bench) {
    let id = bench.submit().await;
    change_priority(bench, &id, 1).await;
    let malformed = [vec![2], vec![2; 10], vec![1, 0, 0, 0, 0, 0, 0, 0, 1]];
    for cursor in malformed.map(StreamCursor::new) {
        let told = subscribed(bench, cursor).await.must_be_invalid();
        assert!(told.contains("subscribe_operator_events"), "{told}");
    }
    assert!(subscribed(bench, encode_event_cursor(1)).await.is_ok());
    subscribed(bench, encode_event_cursor(2)).await.must_be_invalid();
}

pub async fn a_cursor_older_than_the_oldest_change_kept_is_refused(bench: &Bench) {
    let id = bench.submit().await;
    change_priority(bench, &id, 1).await;
    change_priority(bench, &id, 2).await;
    bench.advance(bench.limits.event_retention.0);
    bench.sweep().await;
    assert_eq!(next(bench, beginning(), &NOOP, 2).await.len(), 2, "kept through its last instant");

    bench.advance(1);
    bench.sweep().await;

    let told = subscribed(bench, beginning()).await.must_be_invalid();
    assert!(told.contains("oldest"), "{told}");
    assert!(subscribed(bench, encode_event_cursor(2)).await.is_ok());
}

async fn list(bench: &Bench, after: Option<StreamCursor>, limit: u32) -> OperatorEventPage {
    bench.engine.list_operator_events(after, &NOOP, limit).await.unwrap()
}

pub async fn a_list_has_what_is_there_and_says_where_it_goes_on(bench: &Bench) {
    let id = bench.submit().await;
    let nothing = list(bench, None, 9).await;
    assert_eq!(nothing, OperatorEventPage::new(Vec::new(), beginning()));
    for priority in 1..=600 {
        change_priority(bench, &id, priority).await;
    }
    let told = next(bench, nothing.next, &NOOP, 600).await;

    let mut found: Vec<OperatorEvent> = Vec::new();
    let mut after = None;
    for size in [256, 256, 88, 0] {
        let page = list(bench, after, u32::MAX).await;
        assert_eq!(page.events.len(), size);
        found.extend(page.events);
        assert_eq!(page.next, found.last().unwrap().cursor);
        after = Some(page.next);
    }
    assert_eq!(found, told);
    let page = list(bench, Some(told[10].cursor.clone()), 2).await;
    assert_eq!((&page.events[..], &page.next), (&told[11..13], &told[12].cursor));
    let page = list(bench, Some(told[10].cursor.clone()), 0).await;
    assert_eq!(page, OperatorEventPage::new(Vec::new(), told[10].cursor.clone()));

    change_priority(bench, &id, 601).await;
    let more = list(bench, after, 9).await.events;
    assert!(
        matches!(more[0].change, OperatorChange::PriorityChanged { new_priority: 601, .. }),
        "{more:?}"
    );
}

pub async fn a_list_from_now_on_is_empty(bench: &Bench) {
    let id = bench.submit().await;
    change_priority(bench, &id, 1).await;

    let page = list(bench, Some(StreamCursor::empty()), 9).await;

    assert_eq!(page, OperatorEventPage::new(Vec::new(), encode_event_cursor(1)));
}

pub async fn a_list_with_a_filter_moves_behind_what_it_passes_over(bench: &Bench) {
    let theirs = bench.submit().await;
    let ours = bench.submit().namespace("ours").await;
    let filter = ScannerFilter::new().with_namespace("ours");
    for priority in 1..=300 {
        change_priority(bench, &theirs, priority).await;
    }
    let passed_over = bench.engine.list_operator_events(None, &filter, 9).await.unwrap();
    assert_eq!(passed_over, OperatorEventPage::new(Vec::new(), encode_event_cursor(300)));
    for (id, priority) in [(&ours, 2), (&theirs, 3), (&ours, 4), (&theirs, 5)] {
        change_priority(bench, id, priority).await;
    }

    let page = bench.engine.list_operator_events(None, &filter, 2).await.unwrap();

    let cursors: Vec<_> = page.events.iter().map(|event| event.cursor.clone()).collect();
    assert_eq!(cursors, [301, 303].map(encode_event_cursor));
    assert_eq!(page.next, encode_event_cursor(303));
    let rest = bench.engine.list_operator_events(Some(page.next), &filter, 2).await.unwrap();
    assert_eq!(rest, OperatorEventPage::new(Vec::new(), encode_event_cursor(304)));
    let filter = ScannerFilter::new().with_instance_tag("team", "core");
    let refused = bench.engine.list_operator_events(None, &filter, 9).await;
    refused.map(|_| ()).must_be_invalid();
}

pub async fn a_list_begins_with_the_oldest_change_kept(bench: &Bench) {
    let id = bench.submit().await;
    change_priority(bench, &id, 1).await;
    bench.advance(bench.limits.event_retention.0);
    change_priority(bench, &id, 2).await;
    bench.advance(1);
    bench.sweep().await;

    let page = list(bench, None, 9).await;

    let cursors: Vec<_> = page.events.into_iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, [encode_event_cursor(2)]);
    bench.advance(bench.limits.event_retention.0);
    bench.sweep().await;
    let page = list(bench, None, 9).await;
    assert_eq!(page, OperatorEventPage::new(Vec::new(), encode_event_cursor(2)));
}

pub async fn a_list_refuses_the_cursors_that_a_subscription_refuses(bench: &Bench) {
    let id = bench.submit().await;
    for priority in [1, 2] {
        change_priority(bench, &id, priority).await;
    }
    bench.advance(bench.limits.event_retention.0 + 1);
    bench.sweep().await;
    let bad = [StreamCursor::new(vec![2]), encode_event_cursor(3), beginning()];
    for cursor in bad {
        let refused = bench.engine.list_operator_events(Some(cursor), &NOOP, 9).await;
        let told = refused.map(|_| ()).must_be_invalid();
        assert!(told.contains("list_operator_events"), "{told}");
    }
    assert_eq!(list(bench, Some(encode_event_cursor(2)), 9).await.next, encode_event_cursor(2));
}
