//! Listing and finding flows.

use ff_core::contracts::{FindFlowsArgs, FlowStatus};
use ff_core::partition::{Partition, PartitionFamily, PartitionKey};

use super::{empty, graph};
use crate::harness::{Bench, Refusal};

fn flows_of(index: u16) -> PartitionKey {
    PartitionKey::from(&Partition { family: PartitionFamily::Flow, index })
}

pub async fn flows_are_listed_by_id_in_pages(bench: &Bench) {
    let done = graph(bench, 1, &[]).await;
    done.complete(0).await;
    let mut made = vec![done.flow];
    for _ in 0..4 {
        made.push(empty(bench).await);
    }
    made.sort();

    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = bench.engine.list_flows(flows_of(0), cursor, 2).await.unwrap();
        listed.extend(page.flows);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }

    assert_eq!(listed.iter().map(|flow| flow.flow_id.clone()).collect::<Vec<_>>(), made);
    let completed = listed.iter().filter(|flow| flow.status == FlowStatus::Completed).count();
    assert_eq!(completed, 1);
    let nothing = bench.engine.list_flows(flows_of(0), None, 0).await.unwrap();
    assert!(nothing.flows.is_empty() && nothing.next_cursor.is_none());
    assert!(bench.engine.list_flows(flows_of(7), None, 9).await.unwrap().flows.is_empty());
}

pub async fn flows_are_found_by_state_kind_and_tag(bench: &Bench) {
    let running = graph(bench, 1, &[]).await;
    let _held = running.claim(0).await;
    let open = empty(bench).await;
    bench.engine.set_flow_tag(&open, "app.x", "1").await.unwrap();
    let find = |args| async { bench.engine.find_flows(args).await.unwrap() };
    let ids = |page: ff_core::contracts::FindFlowsPage| {
        page.flows.into_iter().map(|flow| flow.flow_id).collect::<Vec<_>>()
    };

    let by_state = FindFlowsArgs::new().with_states(vec!["running".to_owned()]);
    assert_eq!(ids(find(by_state).await), std::slice::from_ref(&running.flow));
    let by_tag = FindFlowsArgs::new().with_tag("app.x", "1");
    assert_eq!(ids(find(by_tag).await), std::slice::from_ref(&open));
    assert!(ids(find(FindFlowsArgs::new().with_kind("other")).await).is_empty());
    let newest = find(FindFlowsArgs::new().with_newest_first().with_limit(1)).await;
    let last = running.flow.clone().max(open.clone());
    assert_eq!(newest.next_cursor, Some(last.clone()));
    assert_eq!(ids(newest), std::slice::from_ref(&last));
    let rest = find(FindFlowsArgs::new().with_newest_first().with_cursor(last)).await;
    assert_eq!((rest.flows.len(), rest.next_cursor), (1, None));
    bench.engine.find_flows(FindFlowsArgs::new().with_limit(1_001)).await.must_be_invalid();
}

pub async fn a_flow_is_found_by_the_beginning_of_its_id(bench: &Bench) {
    let (first, second) = (empty(bench).await, empty(bench).await);
    let whole = first.to_string();

    assert_eq!(bench.engine.resolve_flow_prefix(&whole).await.unwrap(), [first]);
    let shared = bench.engine.resolve_flow_prefix(&whole[..8]).await.unwrap();
    assert_eq!(shared.len(), 2);
    assert!(shared.contains(&second));
    assert!(bench.engine.resolve_flow_prefix("ffff").await.unwrap().is_empty());
    bench.engine.resolve_flow_prefix("x").await.must_be_invalid();
}
