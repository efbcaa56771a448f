//! Budgets and quotas against rows that others damage, and against many clients at once.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ff_backend_sqlite::{Durability, SqliteBackend};
use ff_core::backend::UsageDimensions;
use ff_core::contracts::{
    BindQuotaArgs, CreateBudgetArgs, CreateQuotaPolicyArgs, Gate, GateEvidence, GateReport,
    GateVerdict, QuotaTarget, RecordSpendArgs, ReportUsageAdminArgs, ReportUsageResult,
};
use ff_core::engine_backend::EngineBackend as _;
use ff_core::policy::ExecutionPolicy;
use ff_core::state::PublicState;
use ff_core::types::{BudgetId, ExecutionId, QuotaPolicyId, TimestampMs};
use rusqlite::Connection;
use support::{PATIENCE, Stopwatch, claim, lane, options, work};

/// Clients that run at once.
const CLIENTS: usize = 32;

/// How long a client waits for a slot before it asks again.
const WAIT: Option<Duration> = Some(Duration::from_millis(50));

/// Slots of the hot quota.
const SLOTS: u64 = 4;

async fn open(path: &Path) -> Arc<SqliteBackend> {
    options(path).sweeps(false).durability(Durability::Normal).open().await.unwrap()
}

async fn a_budget(engine: &SqliteBackend, hard: u64, reset_interval_ms: u64) -> BudgetId {
    let budget_id = BudgetId::new();
    engine
        .create_budget(CreateBudgetArgs {
            budget_id: budget_id.clone(),
            scope_type: String::new(),
            scope_id: String::new(),
            enforcement_mode: String::new(),
            on_hard_limit: String::new(),
            on_soft_limit: String::new(),
            reset_interval_ms,
            dimensions: vec!["tokens".to_owned()],
            hard_limits: vec![hard],
            soft_limits: vec![0],
            now: TimestampMs(0),
        })
        .await
        .unwrap();
    budget_id
}

async fn a_quota_on_the_lane(engine: &SqliteBackend, concurrency: u64) -> QuotaPolicyId {
    let id = QuotaPolicyId::new();
    engine
        .create_quota_policy(CreateQuotaPolicyArgs {
            quota_policy_id: id.clone(),
            window_seconds: 0,
            max_requests_per_window: 0,
            max_concurrent: concurrency,
            now: TimestampMs(0),
        })
        .await
        .unwrap();
    let args = BindQuotaArgs::new(QuotaTarget::Lane(lane()), id.clone());
    engine.bind_quota(args).await.unwrap();
    id
}

async fn submit(engine: &SqliteBackend, budget: Option<&BudgetId>) -> ExecutionId {
    let mut args = work(b"");
    args.policy = budget
        .map(|id| ExecutionPolicy { budget_ids: vec![id.clone()], ..ExecutionPolicy::default() });
    let id = args.execution_id.clone();
    engine.create_execution(args).await.unwrap();
    id
}

async fn state(engine: &SqliteBackend, id: &ExecutionId) -> PublicState {
    engine.read_execution_state(id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_admits_nothing_and_holds_up_no_other_work() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ff.db");
    let engine = open(&path).await;
    let budget = a_budget(&engine, 10, 0).await;
    let conn = Connection::open(&path).unwrap();
    for damage in [
        "UPDATE ff_budget_policy SET policy_json = '{'",
        "UPDATE ff_budget_policy SET policy_json = '{\"hard_limits\": {\"tokens\": -1}}'",
        "UPDATE ff_budget_policy SET policy_json = '{}', breach_count = -1",
        "UPDATE ff_budget_policy SET breach_count = 0;
        INSERT INTO ff_budget_usage (partition_key, budget_id, dimensions_key, current_value, updated_at_ms)
        SELECT 0, budget_id, 'tokens', -5, 0 FROM ff_budget_policy",
    ] {
        let held_up = submit(&engine, Some(&budget)).await;
        conn.execute_batch(damage).unwrap();
        let free = submit(&engine, None).await;

        let claimed = claim(&engine, "w", 30_000, 9, None).await.unwrap();

        let taken: Vec<_> = claimed.iter().map(|work| work.execution_id.clone()).collect();
        assert_eq!(taken, [free], "{damage}");
        assert_eq!(state(&engine, &held_up).await, PublicState::RateLimited);
        let told = engine.read_execution_info(&held_up).await.unwrap().unwrap().blocking_detail;
        assert!(told.contains("ff_budget_"), "{told}");
        assert!(engine.get_budget_status(&budget).await.is_err());
        let told = gate(&engine, &held_up, Gate::Budget).await;
        assert_eq!(told.verdict, GateVerdict::Unknown, "{told:?}");
        assert!(told.detail.contains("ff_budget_"), "{told:?}");
    }
}

async fn gate(engine: &SqliteBackend, id: &ExecutionId, which: Gate) -> GateReport {
    let told = engine.explain(id).await.unwrap();
    let found = told.gates.iter().rfind(|gate| gate.gate == which).cloned();
    found.unwrap_or_else(|| panic!("no gate {which:?}: {told:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_cannot_be_read_admits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ff.db");
    let engine = open(&path).await;
    a_quota_on_the_lane(&engine, 5).await;
    let conn = Connection::open(&path).unwrap();
    let id = submit(&engine, None).await;
    for (damage, place) in [
        ("UPDATE ff_quota_policy SET active_concurrency_cap = -1", "active_concurrency_cap"),
        ("UPDATE ff_lane_registry SET quota_policy_id = 'nobody'", "ff_lane_registry"),
    ] {
        conn.execute_batch(damage).unwrap();

        assert!(claim(&engine, "w", 30_000, 9, None).await.unwrap().is_empty(), "{damage}");
        let told = gate(&engine, &id, Gate::Quota).await;
        assert_eq!(told.verdict, GateVerdict::Unknown, "{told:?}");
        assert!(told.detail.contains(place), "{told:?}");
        let summary = engine.explain(&id).await.unwrap().summary;
        assert!(summary.contains(place), "{summary}");
    }
}

/// The row of the execution counts; what its attempt says beside it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_its_execution_disagrees_with_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ff.db");
    let engine = open(&path).await;
    let conn = Connection::open(&path).unwrap();
    let id = submit(&engine, None).await;
    claim(&engine, "w", 30_000, 1, None).await.unwrap();

    conn.execute_batch(
        "UPDATE ff_exec_core SET lifecycle_phase = 'runnable', ownership_state = 'unowned',
            eligibility_state = 'eligible_now', public_state = 'waiting'",
    )
    .unwrap();
    let told = gate(&engine, &id, Gate::Lifecycle).await;
    assert_eq!(told.verdict, GateVerdict::Open, "{told:?}");
    assert!(
        matches!(
            told.evidence[..],
            [GateEvidence::Lease { .. }, GateEvidence::Inconsistent { .. }]
        ),
        "{told:?}"
    );
    assert!(engine.explain(&id).await.unwrap().position.is_some());

    conn.execute_batch(
        "UPDATE ff_exec_core SET lifecycle_phase = 'active', ownership_state = 'leased',
            eligibility_state = 'not_applicable', public_state = 'active';
        DELETE FROM ff_attempt",
    )
    .unwrap();
    let told = gate(&engine, &id, Gate::Lifecycle).await;
    assert_eq!(told.verdict, GateVerdict::Unknown, "{told:?}");
    assert!(told.detail.contains("no lease is stored"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reset_tick_counts_the_budgets_it_reset_and_those_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ff.db");
    let engine = open(&path).await;
    let (due, broken) = (a_budget(&engine, 10, 1_000).await, a_budget(&engine, 10, 1_000).await);
    let args = ReportUsageAdminArgs::new(vec!["tokens".to_owned()], vec![4], TimestampMs(0));
    engine.report_usage_admin(&due, args).await.unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.execute(
        "UPDATE ff_budget_policy SET policy_json = 'x' WHERE budget_id = ?1",
        [broken.to_string()],
    )
    .unwrap();
    let next: i64 = conn
        .query_row("SELECT max(next_reset_at_ms) FROM ff_budget_policy", [], |row| row.get(0))
        .unwrap();

    assert_eq!(engine.budget_reset_scan_tick_for_test(0).await.unwrap(), (0, 0));
    assert_eq!(engine.budget_reset_scan_tick_for_test(next).await.unwrap(), (1, 1));
    assert_eq!(engine.get_budget_status(&due).await.unwrap().usage["tokens"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_damage_to_budgets_and_quotas_is_found() {
    for (check, damage) in [
        ("I16", "UPDATE ff_quota_slot SET lease_epoch = 9"),
        ("I16", "DELETE FROM ff_quota_slot"),
        ("I16", "UPDATE ff_quota_policy SET active_concurrency_cap = 1"),
        (
            "I16",
            "UPDATE ff_quota_policy SET max_requests_per_window = 1, requests_per_window_seconds = 60",
        ),
        ("I17", "UPDATE ff_budget_usage_by_exec SET delta_total = delta_total + 1"),
        ("I17", "UPDATE ff_budget_usage SET current_value = 0"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ff.db");
        let engine = open(&path).await;
        a_quota_on_the_lane(&engine, 2).await;
        let budget = a_budget(&engine, 10, 0).await;
        submit(&engine, None).await;
        let second = submit(&engine, None).await;
        claim(&engine, "w", 30_000, 2, None).await.unwrap();
        let deltas = [("tokens".to_owned(), 4)].into();
        engine.record_spend(RecordSpendArgs::new(budget, second, deltas, "k")).await.unwrap();
        assert!(engine.verify().await.unwrap().is_clean());

        Connection::open(&path).unwrap().execute_batch(damage).unwrap();

        let report = engine.verify().await.unwrap();
        assert!(report.failed().any(|found| found.name == check), "{damage}: {report}");
    }
}

/// Many clients on one hot quota and one hot budget: the bounds hold at every instant, and nothing
/// that was spent is lost or counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_keep_the_bounds_of_one_hot_quota_and_one_hot_budget() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ff.db");
    let engine = open(&path).await;
    let quota = a_quota_on_the_lane(&engine, SLOTS).await;
    let budget = a_budget(&engine, 300, 0).await;
    for _ in 0..160 {
        submit(&engine, Some(&budget)).await;
    }
    let stopwatch = Stopwatch::start();
    let (running, accepted, ended) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (engine, budget) = (Arc::clone(&engine), budget.clone());
            let (running, accepted, ended) =
                (Arc::clone(&running), Arc::clone(&accepted), Arc::clone(&ended));
            tokio::spawn(async move {
                for turn in 0..40_u64 {
                    let worker = format!("w{number}");
                    let Some(work) = claim(&engine, &worker, 30_000, 1, WAIT).await.unwrap().pop()
                    else {
                        continue;
                    };
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(now <= SLOTS, "{now} hold {SLOTS} slots");
                    let mut usage =
                        UsageDimensions::new().with_dedup_key(format!("{number}-{turn}"));
                    usage.custom.insert("tokens".to_owned(), 3);
                    for _ in 0..2 {
                        let answer =
                            engine.report_usage(&work.handle, &budget, usage.clone()).await;
                        if matches!(answer.unwrap(), ReportUsageResult::Ok) {
                            accepted.fetch_add(3, Ordering::SeqCst);
                        }
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    match turn % 3 {
                        0 => engine.complete(&work.handle, None).await.unwrap(),
                        1 => engine.release_lease(&work.handle).await.unwrap(),
                        _ => engine.cancel(&work.handle, "enough").await.unwrap(),
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert!(stopwatch.elapsed() < PATIENCE, "{:?}", stopwatch.elapsed());

    let status = engine.get_budget_status(&budget).await.unwrap();
    assert_eq!(status.usage["tokens"], accepted.load(Ordering::SeqCst));
    assert!(status.usage["tokens"] <= 300);
    assert!(ended.load(Ordering::SeqCst) >= 100, "{ended:?} turns only");
    let report = engine.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let page = engine.list_quota_policies(None, 9).await.unwrap();
    assert_eq!((page.policies[0].quota_policy_id.clone(), page.policies[0].active), (quota, 0));
    assert!(live_leases_at_once(&path) <= SLOTS);
}

/// The most leases that lived at once, by the order in which their history was written.
fn live_leases_at_once(path: &Path) -> u64 {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn
        .prepare("SELECT execution_id, event_type FROM ff_lease_event ORDER BY event_id")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .unwrap();
    let (mut live, mut most) = (BTreeMap::new(), 0);
    for row in rows {
        let (id, kind) = row.unwrap();
        match kind.as_str() {
            "acquired" | "reclaimed" => live.insert(id, ()),
            "expired" | "revoked" => live.remove(&id),
            _ => None,
        };
        most = most.max(live.len());
    }
    most as u64
}
