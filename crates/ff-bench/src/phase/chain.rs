//! Flows that are chains of ten: submitted as a whole, then claimed and completed node by node.
//!
//! The floor plays the tape of the same calls, a transaction for each.

use std::collections::BTreeMap;

use ff_core::contracts::{FlowLink, FlowNode, SubmitFlowArgs};
use ff_core::machine::limits::FLOW_PARTITION;
use ff_core::types::{ExecutionId, FlowId, Namespace};
use uuid::Uuid;

use super::{Bench, in_turn, rates_section, ratio};
use crate::engine::{Engine, KIND, NAMESPACE, submission};
use crate::error::{BenchError, Doing as _};
use crate::floor::open;
use crate::report::{Figure, Report, Target, Unit};
use crate::stats::{Stopwatch, number};
use crate::tape::{Mark, Player, Recorder, Tape, unmarked};

const LENGTH: usize = 10;

/// The submit, and claim and complete of each node.
const OPERATIONS: usize = 1 + 2 * LENGTH;

/// Flows of one slice.
const FLOWS: usize = 5;

const WARM_UP: usize = 2;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<(), BenchError> {
    bench.progress.say("chains of ten, engine and floor in turn");
    let pairs = bench.pick(18, 4);
    let tape = record(bench, (WARM_UP + pairs) * FLOWS)?;
    let engine = bench.runtime.block_on(Engine::open(&bench.migrated("chain-engine")?))?;
    let conn = open(&bench.migrated("chain-floor")?)?;
    let mut player = Player::prepare(&conn, &tape)?;
    let mut slices = tape.operations.chunks(FLOWS * OPERATIONS);
    let rates = in_turn(
        WARM_UP,
        pairs,
        || bench.runtime.block_on(by_engine(&engine)),
        || by_floor(&mut player, slices.next().unwrap_or_default()),
    )?;

    report.figures.push(Figure::new(
        "flow: chain of 10, 1 client, vs. raw one-transaction-per-operation",
        ratio(&rates),
        Unit::Ratio,
        Target::AtLeast(0.4),
    ));
    let title = "flows that are chains of 10: submit, then claim and complete each";
    report.sections.push(rates_section(title, "flows", "one transaction per operation", &rates));
    Ok(())
}

/// A flow as every phase submits it.
pub(super) fn flow(nodes: usize, edges: Vec<FlowLink>) -> SubmitFlowArgs {
    let flow_id = FlowId::from_uuid(Uuid::now_v7());
    let node =
        |_| FlowNode::new(submission(ExecutionId::from_parts(FLOW_PARTITION, Uuid::now_v7())));
    SubmitFlowArgs {
        nodes: (0..nodes).map(node).collect(),
        edges,
        flow_kind: KIND.to_owned(),
        namespace: Namespace::new(NAMESPACE),
        tags: BTreeMap::new(),
        flow_id,
    }
}

async fn one_flow(engine: &Engine, mark: Mark<'_>) -> Result<(), BenchError> {
    let links = (1..LENGTH).map(|node| FlowLink::new(node - 1, node)).collect();
    engine.backend.submit_flow(flow(LENGTH, links)).await.doing("submit a flow")?;
    mark()?;
    for _ in 0..LENGTH {
        let handle = engine.claim().await?;
        mark()?;
        engine.complete(&handle).await?;
        mark()?;
    }
    Ok(())
}

pub(super) fn record(bench: &Bench, flows: usize) -> Result<Tape, BenchError> {
    bench.record("chain-tape", async |engine, recorder: &mut Recorder| {
        for _ in 0..flows {
            one_flow(engine, &mut || recorder.mark()).await?;
        }
        Ok(())
    })
}

/// Flows in a second.
async fn by_engine(engine: &Engine) -> Result<f64, BenchError> {
    let watch = Stopwatch::start();
    for _ in 0..FLOWS {
        one_flow(engine, &mut unmarked).await?;
    }
    Ok(number(FLOWS) / watch.elapsed().as_secs_f64())
}

fn by_floor(
    player: &mut Player<'_>,
    operations: &[crate::tape::Operation],
) -> Result<f64, BenchError> {
    let watch = Stopwatch::start();
    for operation in operations {
        player.play([operation])?;
    }
    Ok(number(operations.len() / OPERATIONS) / watch.elapsed().as_secs_f64())
}
