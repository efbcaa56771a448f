//! Streams on a file: tails across processes' worth of backends, and who is woken by whom.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::io::Write as _;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use ff_backend_sqlite::SqliteOptions;
use ff_core::backend::{Frame, FrameKind, TailVisibility};
use ff_core::contracts::StreamCursor;
use ff_core::engine_backend::EngineBackend as _;
use ff_core::store::{Store as _, StreamKey};
use ff_core::types::AttemptIndex;
use serial_test::serial;
use support::{PATIENCE, Stopwatch, claim, options, work};

const BEGINNING: &str = "0-0";

fn line(text: &str) -> Frame {
    Frame::new(text.as_bytes().to_vec(), FrameKind::Stdout)
}

/// One tail among 64 busy streams hears of its own and of nothing else.
#[tokio::test(flavor = "multi_thread")]
#[serial]
async fn a_blocked_tail_is_not_woken_by_other_streams() {
    let engine =
        SqliteOptions::new("file:streams-wakes?mode=memory&cache=shared").open().await.unwrap();
    for number in 0..65_u8 {
        engine.create_execution(work(&[number])).await.unwrap();
    }
    let mut busy = claim(&engine, "w", 30_000, 65, None).await.unwrap();
    let quiet = busy.pop().unwrap();
    let key = StreamKey::new(&quiet.execution_id, AttemptIndex(0));
    let mut watch = engine.watch_stream(key).unwrap();
    watch.arm();

    for _ in 0..10 {
        for one in &busy {
            engine.append_frame(&one.handle, line("noise")).await.unwrap();
        }
    }

    assert!(!watch.changed(Duration::ZERO).await, "640 appends elsewhere wake nobody here");
    engine.append_frame(&quiet.handle, line("signal")).await.unwrap();
    assert!(watch.changed(Duration::from_secs(10)).await);
}

/// A second backend on the file sees a frame, and the end, while its tail waits: the other process writes when
/// it is told to, and it is told once the tail waits.
#[test]
#[serial]
fn a_tail_hears_of_what_another_process_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("streams.db");
    let Ok(role) = std::env::var("FF_STREAM_DB") else {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_tail_hears_of_what_another_process_writes", "--nocapture"])
            .env("FF_STREAM_DB", &path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let go = child.stdin.take().unwrap();
        let stopwatch = Stopwatch::start();
        let (seen, reason) = runtime().block_on(follow(&path, go));
        assert!(stopwatch.elapsed() < PATIENCE / 2, "no wait ran to its end");
        assert!(child.wait().unwrap().success());
        assert_eq!(seen, ["0", "1", "2", "3", "4"]);
        assert_eq!(reason, "attempt_success");
        return;
    };
    runtime().block_on(write(std::path::Path::new(&role)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn write(path: &std::path::Path) {
    let engine = options(path).open().await.unwrap();
    let held = claim(&engine, "w", 30_000, 1, Some(PATIENCE)).await.unwrap().pop().unwrap();
    let mut told = std::io::stdin().lines();
    let mut go = || assert_eq!(told.next().unwrap().unwrap(), "go");
    for number in 0..5 {
        go();
        engine.append_frame(&held.handle, line(&number.to_string())).await.unwrap();
    }
    go();
    engine.complete(&held.handle, None).await.unwrap();
}

async fn follow(path: &std::path::Path, mut go: ChildStdin) -> (Vec<String>, String) {
    let engine = options(path).open().await.unwrap();
    let args = work(b"x");
    let id = args.execution_id.clone();
    engine.create_execution(args).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), BEGINNING.to_owned());
    loop {
        let place = StreamCursor::At(after.clone());
        let tail =
            engine.tail_stream(&id, AttemptIndex(0), place, 30_000, 100, TailVisibility::All);
        let tell = async {
            let watch = Stopwatch::start();
            while !format!("{engine:?}").contains("waiters: 1,") {
                assert!(watch.elapsed() < PATIENCE, "{engine:?}");
                tokio::task::yield_now().await;
            }
            writeln!(go, "go").unwrap();
        };
        let (page, ()) = tokio::join!(tail, tell);
        let page = page.unwrap();
        let Some(last) = page.frames.last() else {
            return (seen, page.closed_reason.unwrap_or_default());
        };
        after.clone_from(&last.id);
        seen.extend(page.frames.iter().map(|frame| frame.fields["payload"].clone()));
    }
}
