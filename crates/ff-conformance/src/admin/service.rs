//! Identity, capabilities, preparation and shutdown.

use std::time::Duration;

use ff_core::EngineError;
use ff_core::backend::PrepareOutcome;
use ff_core::contracts::ListExpiredLeasesArgs;

use crate::harness::Bench;

pub async fn it_gives_a_sign_of_life(bench: &Bench) {
    bench.engine.ping().await.unwrap();
}

pub async fn its_name_is_the_same_everywhere(bench: &Bench) {
    assert_eq!(bench.engine.backend_label(), bench.engine.capabilities().identity.family);
    assert_ne!(bench.engine.backend_label(), "unknown");
}

pub async fn it_is_itself_for_who_knows_its_type(bench: &Bench) {
    assert!(!bench.engine.as_any().is::<()>());
}

pub async fn it_has_every_operation_it_claims(bench: &Bench) {
    let supports = bench.engine.capabilities().supports;
    for (operation, claimed) in [
        ("cancel_execution", supports.cancel_execution),
        ("change_priority", supports.change_priority),
        ("replay_execution", supports.replay_execution),
        ("revoke_lease", supports.revoke_lease),
        ("read_execution_state", supports.read_execution_state),
        ("read_execution_info", supports.read_execution_info),
        ("get_execution_result", supports.get_execution_result),
        ("claim_for_worker", supports.claim_for_worker),
        ("issue_reclaim_grant", supports.issue_reclaim_grant),
        ("prepare", supports.prepare),
        ("subscribe_lease_history", supports.subscribe_lease_history),
        ("subscribe_completion", supports.subscribe_completion),
        ("list_expired_leases", supports.list_expired_leases),
    ] {
        assert!(claimed, "{operation}");
    }
    let args = ListExpiredLeasesArgs::new(bench.now());
    bench.engine.list_expired_leases(args).await.unwrap();
}

pub async fn an_operation_it_does_not_claim_is_unavailable_by_name(bench: &Bench) {
    let supports = bench.engine.capabilities().supports;
    let held = bench.claimed().await;
    if !supports.list_workers {
        let refused = bench.engine.list_workers(ff_core::contracts::ListWorkersArgs::new()).await;
        let Err(EngineError::Unavailable { op }) = refused else { panic!("{refused:?}") };
        assert!(op.ends_with("list_workers"), "{op}");
    }
    held.complete(None).await.unwrap();
}

pub async fn preparing_twice_is_preparing_once(bench: &Bench) {
    bench.engine.prepare().await.unwrap();

    assert_eq!(bench.engine.prepare().await.unwrap(), PrepareOutcome::NoOp);
}

pub async fn it_can_be_shut_down_twice(bench: &Bench) {
    bench.submit().await;

    bench.engine.shutdown_prepare(Duration::from_millis(100)).await.unwrap();

    bench.engine.shutdown_prepare(Duration::from_millis(100)).await.unwrap();
}

/// What is refused is never half done, and never looks done.
pub async fn after_a_shutdown_nothing_is_accepted(bench: &Bench) {
    bench.engine.shutdown_prepare(Duration::from_millis(100)).await.unwrap();

    let refused = bench.submit().answer().await;

    assert!(matches!(refused, Err(EngineError::Unavailable { .. })), "{refused:?}");
}
