//! Creating many executions at once: all or none, in order.

use ff_core::contracts::FindExecutionsArgs;
use ff_core::contracts::{CREATE_BATCH_MAX_BYTES, CREATE_BATCH_MAX_ROWS, CreateExecutionResult};
use ff_core::engine_error::{ConflictKind, ValidationKind};

use crate::harness::{Bench, Refusal};

fn is_created(answer: &CreateExecutionResult) -> bool {
    matches!(answer, CreateExecutionResult::Created { .. })
}

pub async fn a_batch_answers_in_its_order(bench: &Bench) {
    let known = bench.submit().await;
    let batch =
        vec![bench.submit().args(), bench.submit().id(&known).args(), bench.submit().args()];
    let wanted: Vec<_> = batch.iter().map(|args| args.execution_id.clone()).collect();

    let answers = bench.engine.create_executions(batch).await.unwrap();

    let ids: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            CreateExecutionResult::Created { execution_id, .. }
            | CreateExecutionResult::Duplicate { execution_id } => execution_id.clone(),
        })
        .collect();
    assert_eq!(ids, wanted);
    assert_eq!(answers.iter().map(is_created).collect::<Vec<_>>(), [true, false, true]);
}

pub async fn one_refused_row_refuses_the_batch(bench: &Bench) {
    bench.submit().key("order-1").payload(b"a").await;
    let too_large = vec![0; bench.limits.payload_bytes + 1];

    for bad in [
        bench.submit().key("order-1").payload(b"b"),
        bench.submit().payload(&too_large),
        bench.submit().lane(""),
        bench.submit().needs(&[""]),
    ] {
        let batch = vec![bench.submit().lane("fresh").key("k").args(), bad.args()];
        let refused = bench.unchanged_by(bench.engine.create_executions(batch)).await;
        assert!(refused.is_err());
    }
    let once_more = bench.submit().lane("fresh").key("k").payload(b"other").answer().await.unwrap();
    assert!(is_created(&once_more), "the key of a refused batch is free");
}

pub async fn a_refused_batch_names_its_row(bench: &Bench) {
    bench.submit().key("taken").payload(b"a").await;
    let batch = vec![
        bench.submit().key("free").args(),
        bench.submit().args(),
        bench.submit().key("taken").payload(b"b").args(),
        bench.submit().lane("").args(),
    ];

    let refused = bench.unchanged_by(bench.engine.create_executions(batch)).await.unwrap_err();

    assert_eq!(refused.row(), Some(2));
    let too_many = (0..=CREATE_BATCH_MAX_ROWS).map(|_| bench.submit().args()).collect();
    let refused = bench.engine.create_executions(too_many).await.unwrap_err();
    assert_eq!(refused.row(), None, "no row of a batch that is too long is to blame");
}

pub async fn a_batch_repeated_is_all_duplicates(bench: &Bench) {
    let batch: Vec<_> = (0..3).map(|n| bench.submit().key(&format!("k{n}")).args()).collect();
    let first = bench.engine.create_executions(batch.clone()).await.unwrap();

    let again = bench.unchanged_by(bench.engine.create_executions(batch)).await.unwrap();

    assert!(first.iter().all(is_created));
    assert!(!again.iter().any(is_created));
}

pub async fn a_key_counts_within_one_batch(bench: &Bench) {
    let batch = vec![bench.submit().key("k").args(), bench.submit().key("k").args()];
    let first = batch[0].execution_id.clone();
    let answers = bench.engine.create_executions(batch).await.unwrap();
    assert_eq!(answers[1], CreateExecutionResult::Duplicate { execution_id: first });

    let first = bench.submit().key("j").args();
    let wanted = ConflictKind::IdempotencyKeyReuse { execution_id: first.execution_id.clone() };
    let batch = vec![first, bench.submit().key("j").payload(b"other").args()];

    bench.unchanged_by(bench.engine.create_executions(batch)).await.must_be_conflict(&wanted);
}

pub async fn an_empty_batch_is_nothing(bench: &Bench) {
    let answers = bench.unchanged_by(bench.engine.create_executions(Vec::new())).await;

    assert_eq!(answers.unwrap(), []);
}

pub async fn a_batch_has_at_most_a_thousand_rows(bench: &Bench) {
    let rows = |count: usize| (0..count).map(|_| bench.submit().args()).collect::<Vec<_>>();

    let refused = bench.engine.create_executions(rows(CREATE_BATCH_MAX_ROWS + 1)).await;
    refused.must_be_invalid();
    assert!(bench.find(FindExecutionsArgs::new()).await.is_empty());

    let answers = bench.engine.create_executions(rows(CREATE_BATCH_MAX_ROWS)).await.unwrap();
    assert_eq!(answers.len(), CREATE_BATCH_MAX_ROWS);
}

pub async fn a_batch_carries_at_most_eight_mebibytes(bench: &Bench) {
    let full = vec![1; bench.limits.payload_bytes];
    let count = CREATE_BATCH_MAX_BYTES / full.len();
    let mut batch: Vec<_> = (0..count).map(|_| bench.submit().payload(&full).args()).collect();
    batch.push(bench.submit().payload(b"1").args());

    let refused = bench.engine.create_executions(batch.clone()).await;
    refused.must_be_validation(&ValidationKind::PayloadTooLarge);
    assert!(bench.find(FindExecutionsArgs::new()).await.is_empty());

    batch.pop();
    assert_eq!(bench.engine.create_executions(batch).await.unwrap().len(), count);
}
