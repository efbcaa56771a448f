//! Listing and searching executions: filters, order, pages.

use ff_core::backend::FailureClass;
use ff_core::contracts::{FIND_EXECUTIONS_MAX_LIMIT, FindExecutionsArgs};
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};
use ff_core::state::PublicState;
use ff_core::types::{ExecutionId, FlowId, LaneId, Namespace};

use crate::harness::{Bench, Refusal};

fn partition(index: u16) -> PartitionKey {
    PartitionKey::from(&Partition { family: PartitionFamily::Flow, index })
}

async fn found(bench: &Bench, args: FindExecutionsArgs) -> Vec<ExecutionId> {
    bench.find(args).await.into_iter().map(|summary| summary.execution_id).collect()
}

async fn submit_many(bench: &Bench, count: usize) -> Vec<ExecutionId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(bench.submit().await);
        bench.advance(1);
    }
    ids
}

pub async fn pages_together_are_the_whole_set(bench: &Bench) {
    let ids = submit_many(bench, 7).await;
    bench.submit().id(&bench.new_id_in(1)).await;

    for limit in [1, 2, 3, 7, 8] {
        let (mut listed, mut cursor) = (Vec::new(), None);
        loop {
            let page = bench.engine.list_executions(partition(0), cursor, limit).await.unwrap();
            assert!(page.executions.len() <= limit);
            listed.extend(page.executions.clone());
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
            assert_eq!(cursor.as_ref(), page.executions.last(), "a cursor is the last key");
        }
        assert_eq!(listed, ids, "by id, nothing twice, with pages of {limit}");
    }
}

pub async fn the_last_page_has_no_cursor(bench: &Bench) {
    submit_many(bench, 4).await;

    let page = bench.engine.list_executions(partition(0), None, 4).await.unwrap();

    assert_eq!((page.executions.len(), page.next_cursor), (4, None));
}

pub async fn a_page_of_nothing_is_empty(bench: &Bench) {
    submit_many(bench, 2).await;

    let page = bench.engine.list_executions(partition(0), None, 0).await.unwrap();
    assert_eq!((page.executions.len(), page.next_cursor), (0, None));
    let page = bench.engine.find_executions(FindExecutionsArgs::new().with_limit(0)).await.unwrap();
    assert_eq!((page.executions.len(), page.next_cursor), (0, None));
}

pub async fn a_page_holds_at_most_a_thousand(bench: &Bench) {
    let batch = (0..1_000).map(|_| bench.submit().args()).collect();
    bench.engine.create_executions(batch).await.unwrap();
    bench.submit().await;

    let page = bench.engine.list_executions(partition(0), None, 5_000).await.unwrap();
    assert_eq!(page.executions.len(), 1_000);
    assert!(page.next_cursor.is_some());

    let too_many = FindExecutionsArgs::new().with_limit(FIND_EXECUTIONS_MAX_LIMIT + 1);
    bench.engine.find_executions(too_many).await.must_be_invalid();
    let most = FindExecutionsArgs::new().with_limit(FIND_EXECUTIONS_MAX_LIMIT);
    assert_eq!(bench.find(most).await.len(), 1_001);
}

pub async fn what_comes_behind_the_cursor_is_seen(bench: &Bench) {
    let ids = submit_many(bench, 2).await;
    let page = bench.engine.list_executions(partition(0), None, 1).await.unwrap();
    bench.cancel(&ids[1]).await.unwrap();
    let late = bench.submit().await;

    let rest = bench.engine.list_executions(partition(0), page.next_cursor, 10).await.unwrap();

    assert_eq!(rest.executions, [ids[1].clone(), late]);
}

pub async fn a_search_without_filters_finds_everything_in_order(bench: &Bench) {
    let ids = submit_many(bench, 5).await;

    for limit in [1, 2, 5, 50] {
        assert_eq!(found(bench, FindExecutionsArgs::new().with_limit(limit)).await, ids);
        let mut newest_first =
            found(bench, FindExecutionsArgs::new().with_limit(limit).with_newest_first()).await;
        newest_first.reverse();
        assert_eq!(newest_first, ids);
    }
}

pub async fn a_search_goes_by_time_of_creation_across_partitions(bench: &Bench) {
    let mut ids = Vec::new();
    for index in [9, 2, 5, 2, 0] {
        ids.push(bench.submit().id(&bench.new_id_in(index)).await);
        bench.advance(1);
    }

    assert_eq!(found(bench, FindExecutionsArgs::new().with_limit(2)).await, ids);
    let newest_first = FindExecutionsArgs::new().with_limit(2).with_newest_first();
    ids.reverse();
    assert_eq!(found(bench, newest_first).await, ids);
}

pub async fn twins_in_several_partitions_are_each_found_once(bench: &Bench) {
    let first = bench.submit().id(&bench.new_id_in(3)).await;
    let mut ids = vec![first.clone()];
    for partition in [0, 9, 4] {
        let twin = ExecutionId::from_parts(partition, first.uuid());
        ids.push(bench.submit().id(&twin).await);
    }
    ids.sort_by_key(ExecutionId::partition);

    for limit in [1, 2, 3, 4] {
        assert_eq!(found(bench, FindExecutionsArgs::new().with_limit(limit)).await, ids);
        let newest_first = FindExecutionsArgs::new().with_limit(limit).with_newest_first();
        let mut reversed = found(bench, newest_first).await;
        reversed.reverse();
        assert_eq!(reversed, ids);
    }
}

pub async fn each_filter_narrows_the_search(bench: &Bench) {
    let from = bench.after(10);
    bench.submit().await;
    bench.advance(10);
    let wanted =
        bench.submit().lane("mail").kind("letter").namespace("acme").tag("app.owner", "ann").await;
    bench.advance(1);
    let before = bench.now();
    bench.submit().tag("app.owner", "bob").await;

    for args in [
        FindExecutionsArgs::new().with_lane(LaneId::new("mail")),
        FindExecutionsArgs::new().with_kind("letter"),
        FindExecutionsArgs::new().with_namespace(Namespace::new("acme")),
        FindExecutionsArgs::new().with_tag("app.owner", "ann"),
        FindExecutionsArgs::new().with_created_from(from).with_created_before(before),
        FindExecutionsArgs::new().with_kind("letter").with_lane(LaneId::new("mail")),
    ] {
        assert_eq!(found(bench, args.clone()).await, std::slice::from_ref(&wanted), "{args:?}");
    }
    for args in [
        FindExecutionsArgs::new().with_lane(LaneId::new("mail")).with_kind("kind"),
        FindExecutionsArgs::new().with_tag("app.owner", "eve"),
        FindExecutionsArgs::new().with_tag("app.other", "ann"),
        FindExecutionsArgs::new().with_flow_id(FlowId::from_uuid(uuid::Uuid::from_u128(1))),
    ] {
        assert!(found(bench, args.clone()).await.is_empty(), "{args:?}");
    }
}

pub async fn a_creation_window_includes_its_start_and_not_its_end(bench: &Bench) {
    let id = bench.submit().await;
    let at = bench.now();
    let next = bench.after(1);

    let from_its_instant = FindExecutionsArgs::new().with_created_from(at);
    assert_eq!(found(bench, from_its_instant).await, std::slice::from_ref(&id));
    assert!(found(bench, FindExecutionsArgs::new().with_created_from(next)).await.is_empty());
    assert!(found(bench, FindExecutionsArgs::new().with_created_before(at)).await.is_empty());
    let before_the_next = FindExecutionsArgs::new().with_created_before(next);
    assert_eq!(found(bench, before_the_next).await, [id]);
}

pub async fn a_search_by_state_follows_every_change(bench: &Bench) {
    let waiting = bench.submit().await;
    let delayed = bench.submit().delay_until(bench.after(90_000)).await;
    let expired = bench.submit().deadline(bench.now()).await;
    let cancelled = bench.submit().await;
    bench.cancel(&cancelled).await.unwrap();
    let active = bench.submit().lane("a").await;
    bench.claim().lane("a").await;
    let completed = bench.submit().lane("b").await;
    bench.claim().lane("b").await.complete(None).await.unwrap();
    let failed = bench.submit().lane("c").await;
    bench.claim().lane("c").await.fail("broken", FailureClass::Permanent).await.unwrap();
    bench.sweep().await;

    for (state, id) in [
        (PublicState::Waiting, &waiting),
        (PublicState::Delayed, &delayed),
        (PublicState::Expired, &expired),
        (PublicState::Cancelled, &cancelled),
        (PublicState::Active, &active),
        (PublicState::Completed, &completed),
        (PublicState::Failed, &failed),
    ] {
        let args = FindExecutionsArgs::new().with_states(vec![state]);
        assert_eq!(found(bench, args).await, std::slice::from_ref(id), "{state}");
    }
    let ended = vec![PublicState::Completed, PublicState::Failed, PublicState::Cancelled];
    let args = FindExecutionsArgs::new().with_states(ended).with_limit(1);
    assert_eq!(found(bench, args).await, [cancelled, completed, failed.clone()]);

    bench.replay(&failed).await.unwrap();
    let args = FindExecutionsArgs::new().with_states(vec![PublicState::Failed]);
    assert!(found(bench, args).await.is_empty());
}

pub async fn a_malformed_cursor_is_refused(bench: &Bench) {
    bench.submit().await;

    for cursor in ["", "x", "0.xyz", "{fp:0}:1", "70000.018f2f6c000070008000000000000001"] {
        let args = FindExecutionsArgs::new().with_cursor(cursor);
        bench.engine.find_executions(args).await.must_be_invalid();
    }
}

pub async fn a_malformed_partition_is_refused(bench: &Bench) {
    let malformed: PartitionKey = serde_json::from_str("\"nonsense\"").unwrap();

    bench.engine.list_executions(malformed, None, 10).await.must_be_invalid();
}
