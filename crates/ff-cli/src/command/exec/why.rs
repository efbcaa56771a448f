//! `ff exec why`: what stands between an execution and a worker.

use std::process::ExitCode;

use ff_core::contracts::{Explanation, GateEvidence, GateReport, GateVerdict};
use ff_core::engine_backend::EngineBackend;
use serde_json::{Value, json};

use crate::error::{Error, Exit, Result};
use crate::id;
use crate::output::{Format, Output, cell, escape};
use crate::time;

/// Facts shown at one gate; the rest is counted. `--json` has all.
const EVIDENCE_SHOWN: usize = 5;

pub(super) async fn why(
    engine: &dyn EngineBackend,
    output: Output,
    ids: &[String],
) -> Result<ExitCode> {
    let mut documents = Vec::new();
    for (place, text) in ids.iter().enumerate() {
        let execution = id::resolve(engine, text).await?;
        let found = engine
            .explain(&execution)
            .await
            .map_err(|error| Error::engine("explain the execution", &error).about(&execution))?;
        match output.format {
            Format::Json => documents.push(explanation_json(&found)?),
            Format::Id => output.line(&id::show(&execution))?,
            Format::Table => {
                if place > 0 {
                    output.line("")?;
                }
                show(output, &found)?;
            }
        }
    }
    if output.is_json() {
        match &documents[..] {
            [only] => output.json(only)?,
            several => output.json(&json!(several))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explanation_json(found: &Explanation) -> Result<Value> {
    let mut value = serde_json::to_value(found).map_err(|error| {
        Error::new(Exit::Error, "json", "cannot write the explanation as JSON")
            .why(error.to_string())
            .about(&found.execution_id)
    })?;
    value["id"] = json!(id::show(&found.execution_id));
    Ok(value)
}

fn show(output: Output, found: &Explanation) -> Result<()> {
    let now = found.at.0;
    output.line(&escape(&found.summary))?;
    if let Some(position) = &found.position {
        let more = if position.is_at_least { "at least " } else { "" };
        let lane = &found.lane_id;
        let line = match position.ahead {
            0 => format!("It is the next one in lane {lane}."),
            ahead => format!("{more}{ahead} stand before it in lane {lane}."),
        };
        output.line(&escape(&line))?;
    }
    output.line("")?;
    let mut rows = Vec::new();
    for gate in &found.gates {
        let opens = gate.opens_at.map_or_else(|| "-".to_owned(), |at| time::relative(at.0, now));
        let verdict = match gate.verdict {
            GateVerdict::Open => output.judged("open", true),
            GateVerdict::Closed => output.judged("CLOSED", false),
            _ => output.judged(gate.verdict.as_str(), false),
        };
        rows.push(vec![cell(gate.gate.as_str()), verdict, cell(opens), cell(&gate.detail)]);
        // What is open needs no proof.
        if gate.verdict != GateVerdict::Open {
            rows.extend(evidence_rows(gate, now));
        }
    }
    output.table(&["GATE", "VERDICT", "OPENS", "EVIDENCE"], rows, "no gate is known")
}

fn evidence_rows(gate: &GateReport, now: i64) -> Vec<Vec<comfy_table::Cell>> {
    let mut lines: Vec<_> =
        gate.evidence.iter().take(EVIDENCE_SHOWN).map(|fact| evidence(fact, now)).collect();
    if gate.evidence.len() > EVIDENCE_SHOWN {
        lines.push(format!("and {} more", gate.evidence.len() - EVIDENCE_SHOWN));
    }
    lines
        .into_iter()
        .map(|line| vec![cell(""), cell(""), cell(""), cell(format!("· {line}"))])
        .collect()
}

/// A fact in words.
fn evidence(fact: &GateEvidence, now: i64) -> String {
    match fact {
        GateEvidence::Lease { worker_instance_id, expires_at } => {
            let worker = worker_instance_id.as_ref().map_or("a worker", |worker| worker.as_str());
            let until = expires_at.map_or_else(String::new, |at| {
                format!(", its lease ends {}", time::relative(at.0, now))
            });
            format!("{worker} has it{until}")
        }
        GateEvidence::Ended { outcome, at } => {
            let at = at.map_or_else(String::new, |at| format!(" {}", time::relative(at.0, now)));
            format!("it ended as {}{at}", outcome.as_str())
        }
        GateEvidence::Edge { upstream, state, .. } => {
            format!("{} is {state}", id::show(upstream))
        }
        GateEvidence::Waitpoint { waitpoint_id, key, state, expires_at } => {
            let until = expires_at
                .map_or_else(String::new, |at| format!(", until {}", time::relative(at.0, now)));
            format!("waitpoint {key} ({}) is {state}{until}", id::show_waitpoint(waitpoint_id))
        }
        GateEvidence::BudgetDimension { budget_id, dimension, usage, hard_limit } => {
            format!("{dimension}: {usage} of {hard_limit} spent, {}", id::show_budget(budget_id))
        }
        GateEvidence::QuotaSlots { quota_policy_id, active, cap } => {
            format!("{active} of {cap} run, {}", id::show_quota(quota_policy_id))
        }
        GateEvidence::QuotaHolder {
            execution_id, worker_instance_id, lease_expires_at, ..
        } => {
            let worker = worker_instance_id.as_ref().map_or("a worker", |worker| worker.as_str());
            let until = lease_expires_at.map_or_else(String::new, |at| {
                format!(", its lease ends {}", time::relative(at.0, now))
            });
            format!("{} holds a slot at {worker}{until}", id::show(execution_id))
        }
        GateEvidence::QuotaWindow { quota_policy_id, admitted, limit, window_ms } => format!(
            "{admitted} of {limit} started within {}, {}",
            crate::duration::exact(*window_ms),
            id::show_quota(quota_policy_id)
        ),
        GateEvidence::LaneState { lane_id, state } => format!("lane {lane_id} is {state}"),
        GateEvidence::MissingCapability { token } => format!("no worker offers {token}"),
        GateEvidence::Worker { worker_instance_id, is_alive, holds } => {
            let alive = if *is_alive { "alive" } else { "not heard of any more" };
            format!("{worker_instance_id} could run it: {alive}, holds {holds}")
        }
        GateEvidence::Unreadable { detail } => format!("cannot be read: {detail}"),
        other => format!("{other:?}"),
    }
}
