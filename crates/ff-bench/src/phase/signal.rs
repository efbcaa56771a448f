//! A signal ends a suspension: how soon a waiting worker of the same process holds the lease again.
//!
//! The clock runs from before the delivery until the waiting claim has returned. The floor plays the
//! tape of the two calls, the delivery and the claim, a transaction for each, from one thread that
//! waits for nobody.

use std::time::Duration;

use ff_core::contracts::{
    DeliverSignalArgs, ResumeCondition, ResumePolicy, SignalMatcher, SuspendArgs, SuspendOutcome,
    SuspensionReasonCode, WaitpointBinding,
};
use ff_core::types::{ExecutionId, SignalId, SuspensionId, TimestampMs, WaitpointId};
use uuid::Uuid;

use super::{Bench, in_turn, latency};
use crate::engine::Engine;
use crate::error::{BenchError, Doing as _};
use crate::floor::open;
use crate::report::{Figure, Report, Target, Unit};
use crate::stats::{Samples, Stopwatch};
use crate::tape::{Mark, Operation, Player, Recorder, Tape, unmarked};

/// Resumes of one slice.
const RESUMES: usize = 10;

const WARM_UP: usize = 2;

/// What a resume needs, untimed: create, claim, suspend.
const BEFORE: usize = 3;

/// The timed calls, deliver and claim, and the complete that clears up.
const OPERATIONS: usize = BEFORE + 3;

/// Long enough for the claim to wait and the engine to fall asleep.
const IDLE: Duration = Duration::from_millis(4);

/// A worker that has not resumed after this has lost the execution.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("signal to resumed worker, engine and floor in turn");
    let pairs = bench.pick(20, 2);
    let tape = record(bench, (WARM_UP + pairs) * RESUMES)?;
    let engine = bench.runtime.block_on(Engine::open(&bench.migrated("signal-engine")?))?;
    let conn = open(&bench.migrated("signal-floor")?)?;
    let mut player = Player::prepare(&conn, &tape)?;
    let mut slices = tape.operations.chunks(RESUMES * OPERATIONS);
    let slices = in_turn(
        WARM_UP,
        pairs,
        || bench.runtime.block_on(by_engine(&engine)),
        || by_floor(&mut player, slices.next().unwrap_or_default()),
    )?;

    let name = "signal → a waiting worker of the process holds the lease";
    let (section, engine, ratio) = latency(name, "the same rows in two transactions", slices);
    report.figures.push(Figure::new(
        format!("{name}, p50"),
        engine.percentile_ms(50),
        Unit::Milliseconds,
        Target::AtMost(5.0),
    ));
    report.figures.push(Figure::new(
        format!("{name}: raw transactions' p50 over it"),
        ratio,
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    report.sections.push(section);
    Ok(())
}

/// A suspended execution, and the signal that resumes it.
async fn suspended(engine: &Engine, mark: Mark<'_>) -> Result<DeliverSignalArgs, BenchError> {
    let execution_id = engine.create().await?;
    mark()?;
    let handle = engine.claim().await?;
    mark()?;
    let key = "go".to_owned();
    let matcher = SignalMatcher::Wildcard;
    let args = SuspendArgs::new(
        SuspensionId::from_uuid(Uuid::now_v7()),
        WaitpointBinding::Fresh {
            waitpoint_id: WaitpointId::from_uuid(Uuid::now_v7()),
            waitpoint_key: key.clone(),
        },
        ResumeCondition::Single { waitpoint_key: key, matcher },
        ResumePolicy::normal(),
        SuspensionReasonCode::WaitingForSignal,
        TimestampMs(0),
    );
    let outcome = engine.backend.suspend(&handle, args).await.doing("suspend")?;
    mark()?;
    let SuspendOutcome::Suspended { details, .. } = outcome else {
        return Err(BenchError::new("a suspend without signals did not suspend"));
    };
    Ok(DeliverSignalArgs {
        execution_id,
        waitpoint_id: details.waitpoint_id.clone(),
        signal_id: SignalId::from_uuid(Uuid::now_v7()),
        signal_name: "go".to_owned(),
        signal_category: "external".to_owned(),
        source_type: "person".to_owned(),
        source_identity: "bench".to_owned(),
        payload: Some(b"yes".to_vec()),
        payload_encoding: None,
        correlation_id: None,
        idempotency_key: None,
        target_scope: "waitpoint".to_owned(),
        created_at: None,
        dedup_ttl_ms: None,
        resume_delay_ms: None,
        max_signals_per_execution: None,
        signal_maxlen: None,
        waitpoint_token: details.waitpoint_token.token().clone(),
        now: TimestampMs(0),
    })
}

pub(super) fn record(bench: &Bench, resumes: usize) -> Result<Tape, BenchError> {
    bench.record("signal-tape", async |engine, recorder: &mut Recorder| {
        for _ in 0..resumes {
            let signal = suspended(engine, &mut || recorder.mark()).await?;
            engine.backend.deliver_signal(signal).await.doing("deliver a signal")?;
            recorder.mark()?;
            let handle = engine.claim().await?;
            recorder.mark()?;
            engine.complete(&handle).await?;
            recorder.mark()?;
        }
        Ok(())
    })
}

async fn by_engine(engine: &Engine) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    for _ in 0..RESUMES {
        let signal = suspended(engine, &mut unmarked).await?;
        let id = signal.execution_id.clone();
        let worker = engine.clone();
        let waiting = tokio::spawn(async move { worker.claim_patiently(PATIENCE).await });
        tokio::time::sleep(IDLE).await;
        let watch = Stopwatch::start();
        let resumed = async {
            let claimed = waiting.await.doing("run a worker")??;
            Ok::<_, BenchError>((claimed, watch.elapsed()))
        };
        let (delivered, resumed) = tokio::join!(engine.backend.deliver_signal(signal), resumed);
        delivered.doing("deliver a signal")?;
        let (claimed, took) = resumed?;
        let handle = claimed.filter(|(claimed, _): &(ExecutionId, _)| *claimed == id);
        let (_, handle) = handle.ok_or_else(|| BenchError::new("the worker did not resume"))?;
        engine.complete(&handle).await?;
        samples.push(took);
    }
    Ok(samples)
}

fn by_floor(player: &mut Player<'_>, operations: &[Operation]) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    for resume in operations.chunks(OPERATIONS) {
        let (before, timed) = resume.split_at(BEFORE);
        player.play(before)?;
        std::thread::sleep(IDLE);
        let (timed, after) = timed.split_at(2);
        let watch = Stopwatch::start();
        for operation in timed {
            player.play([operation])?;
        }
        samples.push(watch.elapsed());
        player.play(after)?;
    }
    Ok(samples)
}
