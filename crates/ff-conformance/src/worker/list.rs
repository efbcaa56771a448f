//! Listing: who lives, page by page, and what they hold.

use ff_core::EngineError;
use ff_core::contracts::ListWorkersArgs;
use ff_core::types::Namespace;

use super::{LIFE_MS, args, instance, names, register, tenant};
use crate::harness::Bench;

pub async fn pages_together_are_everybody(bench: &Bench) {
    for number in [3, 1, 4, 0, 2] {
        register(bench, &format!("host:{number}")).await;
    }
    for limit in 1..=6_u32 {
        let (mut found, mut list) = (Vec::new(), ListWorkersArgs::new());
        list.namespace = Some(tenant());
        list.limit = Some(limit);
        loop {
            let page = bench.engine.list_workers(list.clone()).await.unwrap();
            assert!(page.entries.len() <= usize::try_from(limit).unwrap());
            found.extend(page.entries.into_iter().map(|worker| worker.worker_instance_id));
            let Some(cursor) = page.cursor else { break };
            assert_eq!(Some(&cursor), found.last());
            list.after = Some(cursor);
        }
        let all: Vec<_> = (0..5).map(|number| instance(&format!("host:{number}"))).collect();
        assert_eq!(found, all, "pages of {limit}");
    }
}

/// Whoever is listed is alive: no caller has to compute it.
pub async fn only_the_living_are_listed(bench: &Bench) {
    register(bench, "early").await;
    bench.advance(1);
    register(bench, "late").await;
    bench.advance(LIFE_MS - 2);
    assert_eq!(names(bench).await, ["early", "late"]);
    bench.advance(1);
    assert_eq!(names(bench).await, ["late"]);
    bench.advance(1);
    assert!(names(bench).await.is_empty());
}

pub async fn namespaces_are_apart(bench: &Bench) {
    register(bench, "ours").await;
    let mut theirs = args("theirs");
    theirs.namespace = Namespace::new("elsewhere");
    bench.engine.register_worker(theirs).await.unwrap();

    assert_eq!(names(bench).await, ["ours"]);
    let refused = bench.engine.list_workers(ListWorkersArgs::new()).await;
    let Err(EngineError::Unavailable { op }) = refused else { panic!("{refused:?}") };
    assert!(op.contains("list_workers"), "{op}");
}

pub async fn a_page_of_nothing_is_empty(bench: &Bench) {
    register(bench, "host:1").await;
    let mut list = ListWorkersArgs::new();
    list.namespace = Some(tenant());
    list.limit = Some(0);

    let page = bench.engine.list_workers(list).await.unwrap();

    assert!(page.entries.is_empty() && page.cursor.is_none());
}

pub async fn the_status_tells_what_each_holds(bench: &Bench) {
    register(bench, "worker-1").await;
    register(bench, "idle").await;
    let held = bench.claimed().await;
    bench.claimed().await;
    let lost = bench.claim().worker("other");
    bench.submit().await;
    lost.await;
    let status = || async {
        let all = bench.engine.list_worker_status(&tenant()).await.unwrap();
        all.into_iter()
            .map(|status| (status.worker.worker_instance_id.to_string(), status.leases))
            .collect::<Vec<_>>()
    };

    assert_eq!(status().await, [("idle".to_owned(), 0), ("worker-1".to_owned(), 2)]);
    let all = bench.engine.list_worker_status(&tenant()).await.unwrap();
    assert_eq!(all[0].expires_at, bench.after(LIFE_MS));
    held.complete(None).await.unwrap();
    assert_eq!(status().await[1].1, 1);
}
