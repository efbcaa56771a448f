use ff_backend_sqlite::SqliteOptions;
use ff_core::backend::*;
use ff_core::contracts::*;
use ff_core::engine_backend::EngineBackend;
use ff_core::partition::PartitionConfig;
use ff_core::types::*;
use std::time::Instant;

fn args(n: usize) -> CreateExecutionArgs {
    let lane = LaneId::new("default");
    let config = PartitionConfig { num_flow_partitions: 1, num_budget_partitions: 1, num_quota_partitions: 1 };
    CreateExecutionArgs {
        execution_id: ExecutionId::solo(&lane, &config),
        namespace: "ns".into(),
        lane_id: lane,
        execution_kind: format!("k{n}"),
        input_payload: vec![7; 256],
        payload_encoding: None,
        priority: 0,
        creator_identity: "me".into(),
        idempotency_key: None,
        tags: Default::default(),
        policy: None,
        delay_until: None,
        execution_deadline_at: None,
        partition_id: 0,
        now: TimestampMs(0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let engine = SqliteOptions::new(path.to_str().unwrap()).durability(ff_backend_sqlite::Durability::Normal).open().await.unwrap();
    let started = Instant::now();
    let n = 500;
    for i in 0..n {
        engine.create_execution(args(i)).await.unwrap();
        let h = engine
            .claim(&"default".into(), &CapabilitySet::new::<_, &str>([]), ClaimPolicy::new("w".into(), "w1".into(), 30_000, None))
            .await
            .unwrap()
            .unwrap();
        engine.complete(&h, Some(vec![1, 2, 3])).await.unwrap();
    }
    println!("1 client: {:.0}/s", n as f64 / started.elapsed().as_secs_f64());
    let started = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for c in 0..64 {
        let engine = engine.clone();
        set.spawn(async move {
            for i in 0..50 {
                engine.create_execution(args(c * 1000 + i)).await.unwrap();
                let h = engine
                    .claim(&"default".into(), &CapabilitySet::new::<_, &str>([]), ClaimPolicy::new("w".into(), "w1".into(), 30_000, None))
                    .await
                    .unwrap()
                    .unwrap();
                engine.complete(&h, Some(vec![1, 2, 3])).await.unwrap();
            }
        });
    }
    while set.join_next().await.is_some() {}
    println!("64 clients: {:.0}/s", 3200.0 / started.elapsed().as_secs_f64());
}
