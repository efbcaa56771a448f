//! Listing the leases that ran out.

use ff_core::contracts::{ExpiredLeaseInfo, ListExpiredLeasesArgs};
use ff_core::types::{AttemptIndex, ExecutionId, LeaseEpoch, Namespace};

use crate::harness::{Bench, TTL_MS};

fn at(bench: &Bench, change: impl FnOnce(&mut ListExpiredLeasesArgs)) -> ListExpiredLeasesArgs {
    let mut args = ListExpiredLeasesArgs::new(bench.now());
    change(&mut args);
    args
}

async fn listed(bench: &Bench, args: ListExpiredLeasesArgs) -> Vec<ExecutionId> {
    let page = bench.engine.list_expired_leases(args).await.unwrap();
    page.entries.into_iter().map(|entry| entry.execution_id).collect()
}

pub async fn a_lease_is_listed_from_its_expiry_on_swept_or_not(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance(u64::from(TTL_MS) - 1);
    assert!(listed(bench, at(bench, |_| {})).await.is_empty());
    bench.advance(1);
    let wanted = ExpiredLeaseInfo::new(
        held.execution().clone(),
        held.proof.lease_id.clone(),
        LeaseEpoch(1),
        held.proof.worker_instance_id.clone(),
        bench.now(),
        AttemptIndex(0),
    );

    let before = bench.engine.list_expired_leases(at(bench, |_| {})).await.unwrap();
    bench.sweep().await;
    let after = bench.engine.list_expired_leases(at(bench, |_| {})).await.unwrap();

    assert_eq!(before.entries, [wanted]);
    assert_eq!((before.cursor.is_none(), &before), (true, &after));
}

pub async fn the_question_may_be_about_another_instant(bench: &Bench) {
    let held = bench.claimed().await;
    let expiry = held.expires_at().await;

    let then = at(bench, |args| args.as_of = expiry);
    assert_eq!(listed(bench, then).await, [held.execution().clone()]);
}

pub async fn only_leases_that_wait_for_a_reclaim_are_listed(bench: &Bench) {
    bench.completed().await;
    bench.claimed().await.delay(bench.after(90_000)).await.unwrap();
    let cancelled = bench.claimed().await;
    bench.cancel(cancelled.execution()).await.unwrap();
    bench.lapsed().await;
    bench.claim().await;

    assert!(listed(bench, at(bench, |_| {})).await.is_empty());
}

pub async fn pages_follow_expiry_then_id(bench: &Bench) {
    let mut wanted = Vec::new();
    for ttl in [3_000, 1_000, 2_000, 1_000, 1_000] {
        let id = bench.submit().await;
        bench.claim().ttl(ttl).await;
        wanted.push((ttl, id));
    }
    wanted.sort();
    let wanted: Vec<_> = wanted.into_iter().map(|(_, id)| id).collect();
    bench.advance(3_000);

    for limit in [1, 2, 4, 5, 6] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let args = at(bench, |args| {
                args.limit = Some(limit);
                args.after = after;
            });
            let page = bench.engine.list_expired_leases(args).await.unwrap();
            found.extend(page.entries.into_iter().map(|entry| entry.execution_id));
            after = page.cursor;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted, "pages of {limit}");
    }
}

pub async fn a_page_of_nothing_is_empty(bench: &Bench) {
    bench.lapsed().await;

    let args = at(bench, |args| args.limit = Some(0));
    let page = bench.engine.list_expired_leases(args).await.unwrap();

    assert!(page.entries.is_empty() && page.cursor.is_none());
}

pub async fn a_namespace_narrows_the_list(bench: &Bench) {
    let ours = bench.submit().namespace("ours").await;
    bench.submit().namespace("theirs").await;
    bench.claim().await;
    bench.claim().await;
    bench.advance(u64::from(TTL_MS));

    let args = at(bench, |args| args.namespace = Some(Namespace::new("ours")));
    assert_eq!(listed(bench, args).await, [ours]);
}
