//! Reading one execution: what is there, and what a missing one answers.

use ff_core::backend::FailureClass;
use ff_core::state::{AttemptType, PublicState};
use ff_core::types::{AttemptIndex, LeaseEpoch};

use crate::harness::{Bench, Refusal, TTL_MS, fixed};

pub async fn a_missing_execution_reads_as_none(bench: &Bench) {
    let id = bench.new_id();
    let engine = &bench.engine;

    assert_eq!(engine.read_execution_state(&id).await.unwrap(), None);
    assert!(engine.read_execution_info(&id).await.unwrap().is_none());
    assert_eq!(engine.get_execution_result(&id).await.unwrap(), None);
    assert_eq!(engine.describe_execution(&id).await.unwrap(), None);
    assert_eq!(engine.describe_summary(&id).await.unwrap(), None);
    assert_eq!(engine.get_execution_namespace(&id).await.unwrap(), None);
    assert!(engine.list_attempts(&id).await.unwrap().is_empty());
    assert!(engine.list_transitions(&id, None, 10).await.unwrap().is_empty());
}

pub async fn a_read_that_cannot_say_none_names_the_execution(bench: &Bench) {
    let id = bench.new_id();
    let engine = &bench.engine;

    let context = engine.read_execution_context(&id).await.must_be_invalid();
    assert_eq!(context, format!("read_execution_context: execution not found: {id}"));
    let current = engine.read_current_attempt_index(&id).await.must_be_invalid();
    assert_eq!(current, format!("read_current_attempt_index: execution not found: {id}"));
    let total = engine.read_total_attempt_count(&id).await.must_be_invalid();
    assert_eq!(total, format!("read_total_attempt_count: execution not found: {id}"));
}

pub async fn a_uuid_in_another_partition_is_another_execution(bench: &Bench) {
    let id = bench.submit().await;
    let elsewhere = ff_core::types::ExecutionId::from_parts(id.partition() + 1, id.uuid());

    assert_eq!(bench.engine.read_execution_state(&elsewhere).await.unwrap(), None);
    bench.submit().id(&elsewhere).await;
}

pub async fn attempts_are_counted_and_indexed_from_zero(bench: &Bench) {
    let id = bench.submit().retries(fixed(3, 0)).await;
    let engine = &bench.engine;
    assert_eq!(engine.read_total_attempt_count(&id).await.unwrap(), AttemptIndex(0));
    assert_eq!(engine.read_current_attempt_index(&id).await.unwrap(), AttemptIndex(0));

    for count in 1..=3 {
        let held = bench.claim().await;
        assert_eq!(engine.read_total_attempt_count(&id).await.unwrap(), AttemptIndex(count));
        assert_eq!(engine.read_current_attempt_index(&id).await.unwrap(), AttemptIndex(count - 1));
        held.fail("broken", FailureClass::Transient).await.unwrap();
    }
}

pub async fn a_description_shows_attempt_and_lease(bench: &Bench) {
    let held = bench.claimed().await;

    let seen = bench.engine.describe_execution(held.execution()).await.unwrap().unwrap();

    assert_eq!(seen.public_state, PublicState::Active);
    assert_eq!(seen.total_attempt_count, 1);
    let attempt = seen.current_attempt.unwrap();
    assert_eq!(attempt.attempt_id, held.proof.attempt_id);
    assert_eq!(attempt.attempt_index, AttemptIndex(0));
    let lease = seen.current_lease.unwrap();
    assert_eq!(lease.lease_epoch, LeaseEpoch(1));
    assert_eq!(lease.lease_id, held.proof.lease_id);
    assert_eq!(lease.worker_instance_id.as_str(), "worker-1");
    assert_eq!(lease.expires_at, bench.after(u64::from(TTL_MS)));
}

pub async fn a_description_without_a_lease_shows_none(bench: &Bench) {
    let waiting = bench.submit().await;
    let seen = bench.engine.describe_execution(&waiting).await.unwrap().unwrap();
    assert_eq!((seen.current_lease, seen.current_attempt), (None, None));
    assert_eq!(seen.blocking_reason.as_deref(), Some("waiting_for_worker"));

    let held = bench.claim().await;
    bench.let_lease_expire(&held).await;
    bench.sweep().await;

    let seen = bench.engine.describe_execution(held.execution()).await.unwrap().unwrap();
    assert_eq!(seen.current_lease, None);
    assert_eq!(seen.blocking_detail.as_deref(), Some("lease expired, awaiting reclaim"));
}

pub async fn a_mutation_is_stamped(bench: &Bench) {
    let id = bench.submit().await;
    bench.advance(10);
    bench.claim().await;

    let seen = bench.engine.describe_execution(&id).await.unwrap().unwrap();

    assert_eq!(seen.last_mutation_at, bench.now());
    assert_eq!(seen.created_at.0, bench.now().0 - 10);
}

pub async fn the_first_start_is_kept(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 0)).await;
    let started_at = bench.now();
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    bench.advance(10);

    bench.claim().await;

    assert_eq!(bench.summary(&id).await.started_at, Some(started_at));
}

pub async fn a_result_is_none_until_the_end(bench: &Bench) {
    let held = bench.claimed().await;
    assert_eq!(bench.result(held.execution()).await, None);

    held.fail("broken", FailureClass::Permanent).await.unwrap();

    assert_eq!(bench.result(held.execution()).await, None);
}

pub async fn an_attempt_tells_its_whole_story(bench: &Bench) {
    let id = bench.submit().retries(fixed(1, 1_000)).await;
    let first = bench.claim().worker("ann").await;
    let started_at = bench.now();
    bench.advance(5);
    first.fail("broken", FailureClass::Transient).await.unwrap();
    let ended_at = bench.now();
    bench.advance(1_000);
    let second = bench.claim().worker("bob").ttl(7_000).await;

    let [failed, running] = &bench.attempts(&id).await[..] else { panic!("two attempts") };

    assert_eq!(failed.attempt_index, AttemptIndex(0));
    assert_eq!(failed.attempt_id.as_ref(), Some(&first.proof.attempt_id));
    assert_eq!(failed.attempt_type, AttemptType::Initial);
    assert_eq!(failed.lease_epoch, LeaseEpoch(1));
    assert_eq!(failed.worker_id.as_ref().unwrap().as_str(), "ann");
    assert_eq!(failed.worker_instance_id.as_ref().unwrap().as_str(), "ann-1");
    assert_eq!((failed.started_at, failed.ended_at), (Some(started_at), Some(ended_at)));
    assert_eq!(failed.retry_at.unwrap().0, ended_at.0 + 1_000);
    assert_eq!(running.attempt_index, AttemptIndex(1));
    assert_eq!(running.attempt_id.as_ref(), Some(&second.proof.attempt_id));
    assert_eq!(running.attempt_type, AttemptType::Retry);
    assert_eq!(running.lease_epoch, LeaseEpoch(2));
    assert_eq!(running.lease_expires_at, Some(bench.after(7_000)));
    assert_eq!((running.ended_at, running.outcome.as_deref()), (None, None));
}

pub async fn transitions_tell_every_change_of_state(bench: &Bench) {
    let id = bench.submit().delay_until(bench.after(10)).retries(fixed(1, 10)).await;
    bench.advance(10);
    bench.claim().await.fail("broken", FailureClass::Transient).await.unwrap();
    bench.advance(10);
    bench.claim().await.complete(None).await.unwrap();
    bench.replay(&id).await.unwrap();

    let rows = bench.transitions(&id).await;

    let causes: Vec<&str> = rows.iter().map(|row| row.cause.as_str()).collect();
    let wanted = [
        "created",
        "delay_over",
        "claimed",
        "retry_scheduled",
        "delay_over",
        "claimed",
        "completed",
        "replayed",
    ];
    assert_eq!(causes, wanted);
    assert_eq!(rows[0].from_state, None);
    for pair in rows.windows(2) {
        assert!(pair[0].version < pair[1].version);
        assert!(pair[0].at <= pair[1].at && pair[0].lease_epoch <= pair[1].lease_epoch);
        assert_eq!(Some(pair[0].to_state), pair[1].from_state);
    }
    assert_eq!(rows[7].to_state, PublicState::Waiting);
    assert_eq!(rows[7].lease_epoch, LeaseEpoch(2));
}

pub async fn transitions_are_read_in_pages(bench: &Bench) {
    let held = bench.completed().await;
    let all = bench.transitions(held.execution()).await;

    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = bench.engine.list_transitions(held.execution(), after, 1).await.unwrap();
        let Some(row) = page.first() else { break };
        assert_eq!(page.len(), 1);
        after = Some(row.version);
        paged.extend(page);
    }

    assert_eq!(paged, all);
    assert!(bench.engine.list_transitions(held.execution(), None, 0).await.unwrap().is_empty());
}

pub async fn an_execution_is_found_by_the_beginning_of_its_uuid(bench: &Bench) {
    let uuid = |text: &str| uuid::Uuid::parse_str(text).unwrap();
    let one =
        ff_core::types::ExecutionId::from_parts(3, uuid("aaaa0000-0000-7000-8000-000000000001"));
    let two =
        ff_core::types::ExecutionId::from_parts(1, uuid("aaaa0000-0000-7000-8000-000000000002"));
    let three =
        ff_core::types::ExecutionId::from_parts(2, uuid("aaaa0000-0000-7000-8000-000000000003"));
    for id in [&one, &two, &three] {
        bench.submit().id(id).await;
    }
    let resolve = async |prefix: &str| bench.engine.resolve_execution_prefix(prefix).await;

    assert_eq!(
        resolve("aaaa0000-0000-7000-8000-000000000001").await.unwrap(),
        std::slice::from_ref(&one)
    );
    assert_eq!(resolve("AAAA000000007000800000000000000-3").await.unwrap(), [three]);
    assert_eq!(resolve("aaaa").await.unwrap(), [one, two], "two say it is not unique");
    assert!(resolve("bbbb").await.unwrap().is_empty());
    for malformed in ["", "-", "xyz", "aaaa0000-0000-7000-8000-0000000000011"] {
        resolve(malformed).await.must_be_invalid();
    }
}
