//! Output that is read while it is written.
//!
//! One task works and streams, another follows it live, as a terminal or a web page would. The frames are
//! stored: who comes late, or comes back, reads them from the beginning or from where they were.
//!
//! `cargo run -p example-live-stream`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::SqliteOptions;
use ff_core::backend::{CapabilitySet, ClaimPolicy, Frame, FrameKind, StreamMode, TailVisibility};
use ff_core::contracts::{CreateExecutionArgs, StreamCursor};
use ff_core::engine_backend::EngineBackend;
use ff_core::types::{
    AttemptIndex, ExecutionId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId,
};

const WORDS: [&str; 6] = ["Every ", "word ", "is ", "a ", "frame.", "\n"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("work.db");
    let engine: Arc<dyn EngineBackend> =
        SqliteOptions::new(path.display().to_string()).open().await?;

    let id = submit(engine.as_ref()).await?;
    // The follower may come first: it waits, and a wait costs nothing.
    let follower = tokio::spawn(follow(Arc::clone(&engine), id.clone()));
    write(engine.as_ref()).await?;
    let followed = follower.await?.map_err(|error| error.to_string())?;
    print!("followed live: {followed}");

    // The same frames, read afterwards and in one go.
    let all = engine
        .read_stream(&id, AttemptIndex::new(0), StreamCursor::Start, StreamCursor::End, 100)
        .await?;
    println!(
        "kept: {} frames, closed by {}",
        all.frames.len(),
        all.closed_reason.as_deref().unwrap_or("nobody")
    );
    let summary = engine.read_summary(&id, AttemptIndex::new(0)).await?.ok_or("no summary")?;
    println!("summary: {}", String::from_utf8_lossy(&summary.document_json));
    Ok(())
}

/// Prints frames as they come, until the stream is closed; answers the text.
async fn follow(
    engine: Arc<dyn EngineBackend>,
    id: ExecutionId,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut text = String::new();
    // Before the first frame. To go on later, keep the id of the last frame and begin there.
    let mut after = StreamCursor::from_beginning();
    loop {
        let page = engine
            .tail_stream(&id, AttemptIndex::new(0), after.clone(), 10_000, 100, TailVisibility::All)
            .await?;
        for frame in &page.frames {
            let is_text = frame.fields.get("mode").is_none_or(|mode| mode != "summary");
            if let (true, Some(payload)) = (is_text, frame.fields.get("payload")) {
                println!("frame: {payload:?}");
                text.push_str(payload);
            }
        }
        match page.frames.last() {
            Some(last) => after = StreamCursor::At(last.id.clone()),
            // The attempt has ended, and all of its frames are read.
            None if page.is_closed() => return Ok(text),
            None => {}
        }
    }
}

/// The work: it streams while it runs, and keeps a small document about itself.
async fn write(engine: &dyn EngineBackend) -> Result<(), Box<dyn Error>> {
    let worker = ClaimPolicy::new(
        WorkerId::new("example"),
        WorkerInstanceId::new("example-1"),
        30_000,
        Some(Duration::from_secs(5)),
    );
    let lanes = [LaneId::new("default")];
    let claimed = engine.claim_batch(&lanes, &CapabilitySet::default(), worker, 1).await?;
    let work = claimed.into_iter().next().ok_or("there is no work")?;
    for word in WORDS {
        engine.append_frame(&work.handle, Frame::new(word.into(), FrameKind::Stdout)).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Patches merge: null takes a member away.
    for patch in [r#"{"words":3,"state":"writing"}"#, r#"{"words":6,"state":null}"#] {
        let mut frame = Frame::new(patch.into(), FrameKind::Event);
        frame.mode = StreamMode::durable_summary();
        engine.append_frame(&work.handle, frame).await?;
    }
    engine.complete(&work.handle, None).await?;
    Ok(())
}

/// Brings the work.
async fn submit(engine: &dyn EngineBackend) -> Result<ExecutionId, Box<dyn Error>> {
    let lane = LaneId::new("default");
    let id = ExecutionId::solo(&lane, &Default::default());
    engine
        .create_execution(CreateExecutionArgs {
            execution_id: id.clone(),
            namespace: Namespace::new("example"),
            lane_id: lane,
            execution_kind: "write".to_owned(),
            input_payload: Vec::new(),
            payload_encoding: None,
            priority: 0,
            creator_identity: "example".to_owned(),
            idempotency_key: None,
            tags: Default::default(),
            policy: None,
            delay_until: None,
            execution_deadline_at: None,
            partition_id: id.partition(),
            now: TimestampMs::now(),
        })
        .await?;
    Ok(id)
}
