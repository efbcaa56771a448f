//! Removing from a failed run what its failure does not need.
//!
//! The calls that reached the engine are performed again on a fresh one, at their instants, without
//! actors and network: first all, then with halves, quarters, … and single calls left out. A call
//! on a lease whose claim is gone is skipped. What is left open at the end is brought to rest by
//! one worker that can run everything.

use super::call::{Call, Deed, FITS_ALL, LANES, Operation};
use super::ledger::found;
use super::report::Failure;
use super::stage::Stage;
use super::waiting;
use super::world::{REST_MAX_MS, World};
use super::{Plan, guarded, judged, runtime, setup};
use crate::invariants::Finding;
use crate::model::Setup;
use crate::probe::Engine;

/// Runs that shortening may take.
const RUNS_MAX: usize = 250;

/// What waits longer than this, in milliseconds, is left alone: a step of the clock that it was
/// to follow has been left out.
const WAIT_MAX_MS: i64 = 600_000;

/// Calls shown where none could be left out.
const SHOWN: usize = 60;

/// The failure of a seed, with as few calls as still fail in the same way.
pub(crate) fn shorten(
    plan: &Plan,
    seed: u64,
    finding: Finding,
    open: &impl Fn(&Setup) -> Engine,
) -> Failure {
    let script = script_of(seed, open);
    let failure = |finding, operations, is_shortened| Failure {
        seed,
        finding,
        operations,
        is_shortened,
        replay: plan.replay.clone(),
    };
    let is_same = |found: &Finding| found.invariant == finding.invariant;
    // What a step showed needs no rest; what only the rest showed does.
    let at_a_step = perform(seed, &script, false, open).err().filter(is_same);
    let with_rest = at_a_step.is_none();
    let found = at_a_step.or_else(|| perform(seed, &script, true, open).err().filter(is_same));
    let Some(found) = found else {
        let last = script.len().saturating_sub(SHOWN);
        return failure(finding, script[last..].to_vec(), false);
    };
    let (mut operations, mut last, mut runs) = (script, found, 0);
    let mut size = operations.len().div_ceil(2);
    while size > 0 && runs < RUNS_MAX {
        let (mut from, mut removed) = (0, false);
        while from < operations.len() && runs < RUNS_MAX {
            let mut fewer = operations.clone();
            fewer.drain(from..(from + size).min(operations.len()));
            runs += 1;
            match perform(seed, &fewer, with_rest, open).err().filter(is_same) {
                Some(found) => (operations, last, removed) = (fewer, found, true),
                None => from += size,
            }
        }
        if !removed || size > 1 {
            size /= 2;
        }
    }
    failure(last, operations, true)
}

/// Every call of a seed that reached the engine before the faults ended.
fn script_of(seed: u64, open: &impl Fn(&Setup) -> Engine) -> Vec<Operation> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let setup = setup(seed);
    let mut stage = Stage::new(open(&setup), setup);
    stage.script = Some(Vec::new());
    let mut world = World::new(seed, stage);
    // It fails as it did before; only the calls are wanted.
    let _ = guarded(|| world.run());
    world.stage.script.unwrap_or_default()
}

fn perform(
    seed: u64,
    operations: &[Operation],
    with_rest: bool,
    open: &impl Fn(&Setup) -> Engine,
) -> Result<(), Finding> {
    let runtime = runtime();
    let _entered = runtime.enter();
    let setup = setup(seed);
    let mut stage = Stage::new(open(&setup), setup);
    guarded(|| {
        for operation in operations {
            stage.perform(operation)?;
        }
        if with_rest { rest(&mut stage) } else { Ok(()) }
    })?;
    if with_rest { judged(&mut stage, &runtime) } else { Ok(()) }
}

/// One worker that can run everything ends what is open.
fn rest(stage: &mut Stage) -> Result<(), Finding> {
    let mut number = 1_000_000;
    let mut at_ms = stage.at_ms;
    let mut until_ms = at_ms + REST_MAX_MS;
    let lanes: Vec<u8> = (0..LANES.len()).filter_map(|lane| u8::try_from(lane).ok()).collect();
    let mut perform = |stage: &mut Stage, at_ms: u64, call: Call| {
        number += 1;
        stage.perform(&Operation { number, at_ms, by: "rest".to_owned(), call })
    };
    for lane in &lanes {
        perform(stage, at_ms, Call::SetLane { lane: *lane, is_open: true })?;
    }
    loop {
        at_ms += 1_000;
        perform(stage, at_ms, Call::Sweep)?;
        let claim = Call::Claim { lanes: lanes.clone(), offer: FITS_ALL, ttl_ms: 20_000, max: 64 };
        let claimed = perform(stage, at_ms, claim)?;
        for held in claimed.held {
            let deed = Deed::Complete { result: 0 };
            perform(stage, at_ms, Call::Hold { grip: held.grip, deed, is_forged: false })?;
        }
        for number in stage.suspended() {
            perform(stage, at_ms, Call::Wait(waiting::Ask::Resume(number)))?;
        }
        let engine_now = stage.now();
        let mut open = None;
        for (id, waits_until) in stage.ledger.unfinished() {
            let waits = waits_until.map_or(0, |until| until.0.saturating_sub(engine_now.0));
            if waits > WAIT_MAX_MS {
                continue;
            }
            open = Some(id.clone());
            if let Some(waits_ms) = u64::try_from(waits).ok().filter(|waits| *waits > 0) {
                until_ms = until_ms.max(at_ms + waits_ms + REST_MAX_MS);
            }
        }
        match open {
            None => return Ok(()),
            Some(id) if at_ms > until_ms => {
                let detail = format!("has not ended {REST_MAX_MS} ms after the last call");
                return Err(found("I1", Some(&id), detail));
            }
            Some(_) => {}
        }
    }
}
