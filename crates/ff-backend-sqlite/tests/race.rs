//! The race on one file: many clients in one process, and clients in several processes.
//!
//! This binary starts itself again; `FF_RACE_CHILD` names the file a child leaves its histories in.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ff_backend_sqlite::{SqliteBackend, SqliteOptions};
use ff_conformance::invariants::{History, check};
use ff_conformance::probe::Engine;
use ff_conformance::race::{actor, quiesce, race, seed_from_env};
use ff_core::engine_backend::EngineBackend;

const REPLAY: &str = "cargo test -p ff-backend-sqlite --test race";

const PROCESSES: u64 = 3;
const CLIENTS: u64 = 12;
const OPERATIONS: u64 = 120;

fn engine(backend: &SqliteBackend) -> Engine {
    Engine::new(backend.clone(), |backend| async move { backend.sweep().await })
}

async fn open(path: &Path) -> Arc<SqliteBackend> {
    SqliteOptions::new(path.display().to_string()).open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_clients_of_one_process_break_no_invariant() {
    let dir = tempfile::tempdir().unwrap();
    let backend = open(&dir.path().join("race.db")).await;

    let verdict = race(&engine(&backend), seed_from_env(1), 40, 150).await.unwrap();

    verdict.expect_clean(&format!("{REPLAY} forty"));
    let report = backend.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_three_processes_break_no_invariant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("race.db");
    let seed = seed_from_env(2);
    let backend = open(&path).await;

    let files: Vec<PathBuf> =
        (0..PROCESSES).map(|number| dir.path().join(format!("{number}.jsonl"))).collect();
    let mut children = Vec::new();
    for (number, file) in (0_u64..).zip(&files) {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env("FF_RACE_CHILD", file)
            .env("FF_RACE_DB", &path)
            .env("FF_RACE_CLIENT", (number * CLIENTS).to_string())
            .env("FF_RACE_SEED", seed.to_string())
            .spawn()
            .unwrap();
        children.push(child);
    }
    for mut child in children {
        assert!(child.wait().unwrap().success(), "a child failed");
    }

    let mut histories: Vec<History> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.split("---\n").map(|one| History::from_jsonl(one).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    let operations: usize = histories.iter().map(|history| history.records.len()).sum();
    let backing: Arc<dyn EngineBackend> = backend.clone();
    histories.push(quiesce(&backing).await.unwrap());

    let findings = check(&engine(&backend), &histories).await.unwrap();

    println!("race: processes={PROCESSES} clients={} commands={operations}", PROCESSES * CLIENTS);
    assert!(findings.is_empty(), "{findings:?}\nreplay: FF_RACE_SEED={seed} {REPLAY} three");
    assert!(operations as u64 >= PROCESSES * CLIENTS * OPERATIONS, "{operations}");
    let report = backend.verify().await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Not a test: the body of a child process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(file) = std::env::var("FF_RACE_CHILD") else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let backend = open(Path::new(&std::env::var("FF_RACE_DB").unwrap())).await;
    let first = number("FF_RACE_CLIENT");
    let mut running = tokio::task::JoinSet::new();
    for client in first..first + CLIENTS {
        let backend: Arc<dyn EngineBackend> = backend.clone();
        running.spawn(actor(backend, number("FF_RACE_SEED"), client, OPERATIONS));
    }
    let mut texts = Vec::new();
    while let Some(history) = running.join_next().await {
        texts.push(history.unwrap().to_jsonl().unwrap());
    }
    std::fs::write(file, texts.join("---\n")).unwrap();
}
