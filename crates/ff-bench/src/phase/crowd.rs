//! 64 clients that make calls of one kind. The floor plays the tape of the same calls, by group commit.

use std::sync::Arc;

use super::{Bench, in_turn};
use crate::engine::Engine;
use crate::error::BenchError;
use crate::floor::open;
use crate::group::{CLIENTS, clients};
use crate::stats::{Stopwatch, number};
use crate::tape::{Player, Recorder, Tape, committer};

/// Calls of one client in one slice.
const CALLS: usize = 16;

const WARM_UP: usize = 2;

/// One of the clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) client: usize,
    /// The number of its call.
    pub(super) number: usize,
}

/// Calls in a second, per pair of slices: engine, floor.
///
/// `set_up` makes what the calls need, untimed, down to every row that they share: the floor's clients come in any
/// order. `call` makes one.
pub(super) fn rates<C, F>(
    bench: &Bench,
    name: &str,
    pairs: usize,
    set_up: impl AsyncFn(Engine) -> Result<C, BenchError>,
    call: impl Fn(C, Caller) -> F + Clone + Send + 'static,
) -> Result<Vec<(f64, f64)>, BenchError>
where
    C: Clone + Send + 'static,
    F: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    let tape = record(bench, name, (WARM_UP + pairs) * CALLS, &set_up, &call)?;
    let path = bench.migrated(&format!("{name}-engine"))?;
    let engine = bench.runtime.block_on(Engine::open(&path))?;
    let context = bench.runtime.block_on(set_up(engine))?;
    let conn = open(&bench.migrated(&format!("{name}-floor"))?)?;
    Player::prepare(&conn, &tape)?.play(&tape.operations[..1])?;
    let committer = committer(conn, Arc::new(tape))?;
    let (mut by_engine, mut by_floor) = (0, 0);
    let rates = in_turn(
        WARM_UP,
        pairs,
        || {
            let slice = numbers(&mut by_engine);
            let (context, call) = (context.clone(), call.clone());
            bench.runtime.block_on(rate(slice, move |caller| call(context.clone(), caller)))
        },
        || {
            let slice = numbers(&mut by_floor);
            let floor = committer.client();
            bench.runtime.block_on(rate(slice, move |Caller { client, number }| {
                let floor = floor.clone();
                async move { floor.ask(1 + number * CLIENTS + client).await }
            }))
        },
    );
    committer.stop(rates)
}

/// The first operation is the set-up; then the clients take turns with `calls` calls each.
pub(super) fn record<C, F>(
    bench: &Bench,
    name: &str,
    calls: usize,
    set_up: impl AsyncFn(Engine) -> Result<C, BenchError>,
    call: impl Fn(C, Caller) -> F,
) -> Result<Tape, BenchError>
where
    C: Clone,
    F: Future<Output = Result<(), BenchError>>,
{
    bench.record(&format!("{name}-tape"), async |engine, recorder: &mut Recorder| {
        let context = set_up(engine.clone()).await?;
        recorder.mark()?;
        for number in 0..calls {
            for client in 0..CLIENTS {
                call(context.clone(), Caller { client, number }).await?;
                recorder.mark()?;
            }
        }
        Ok(())
    })
}

/// The numbers of the next slice's calls.
fn numbers(next: &mut usize) -> std::ops::Range<usize> {
    let first = *next;
    *next += CALLS;
    first..*next
}

/// All clients make their calls, one after the other each; calls in a second.
async fn rate<F>(
    slice: std::ops::Range<usize>,
    call: impl Fn(Caller) -> F + Clone + Send + 'static,
) -> Result<f64, BenchError>
where
    F: Future<Output = Result<(), BenchError>> + Send + 'static,
{
    let watch = Stopwatch::start();
    let calls = slice.len() * CLIENTS;
    clients(|client| {
        let (slice, call) = (slice.clone(), call.clone());
        async move {
            for number in slice {
                call(Caller { client, number }).await?;
            }
            Ok(())
        }
    })
    .await?;
    Ok(number(calls) / watch.elapsed().as_secs_f64())
}
