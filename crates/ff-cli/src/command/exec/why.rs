//! `ff exec why`: what stands between an execution and a worker.

use std::process::ExitCode;

use ff_core::contracts::{Explanation, GateEvidence, GateReport, GateVerdict, WorkerStanding};
use ff_core::engine_backend::EngineBackend;
use serde_json::{Value, json};

use crate::error::{Error, Exit, Result};
use crate::id;
use crate::output::{Format, Output, cell, escape, one_or_list};
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
        output.json(&one_or_list(documents))?;
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
    value["summary"] = json!(id::readable(&found.summary));
    for (gate, told) in found.gates.iter().enumerate() {
        value["gates"][gate]["detail"] = json!(id::readable(&told.detail));
        for (fact, shown) in told.evidence.iter().enumerate() {
            for (member, id) in ids(shown) {
                value["gates"][gate]["evidence"][fact][member] = json!(id);
            }
        }
    }
    Ok(value)
}

/// The ids of a fact, as they are printed and typed, by the member that holds each.
fn ids(fact: &GateEvidence) -> Vec<(&'static str, String)> {
    match fact {
        GateEvidence::Edge { upstream, .. } => vec![("upstream", id::show(upstream))],
        GateEvidence::FlowCancelled { flow_id, .. } => vec![("flow_id", id::show_flow(flow_id))],
        GateEvidence::Waitpoint { waitpoint_id, .. } => {
            vec![("waitpoint_id", id::show_waitpoint(waitpoint_id))]
        }
        GateEvidence::BudgetDimension { budget_id, .. } => {
            vec![("budget_id", id::show_budget(budget_id))]
        }
        GateEvidence::QuotaSlots { quota_policy_id, .. }
        | GateEvidence::QuotaWindow { quota_policy_id, .. } => {
            vec![("quota_policy_id", id::show_quota(quota_policy_id))]
        }
        GateEvidence::QuotaHolder { quota_policy_id, execution_id, .. } => vec![
            ("quota_policy_id", id::show_quota(quota_policy_id)),
            ("execution_id", id::show(execution_id)),
        ],
        _ => Vec::new(),
    }
}

fn show(output: Output, found: &Explanation) -> Result<()> {
    let now = found.at.0;
    output.line(&escape(&id::readable(&found.summary)))?;
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
        rows.push(vec![
            cell(gate.gate.as_str()),
            verdict,
            cell(opens),
            cell(id::readable(&gate.detail)),
        ]);
        // What is open needs no proof, unless it is that all who could run it are busy.
        if gate.verdict != GateVerdict::Open || is_busy(gate) {
            rows.extend(evidence_rows(gate, now));
        }
    }
    output.table(&["GATE", "VERDICT", "OPENS", "EVIDENCE"], rows, "no gate is known")
}

fn is_busy(gate: &GateReport) -> bool {
    gate.evidence
        .iter()
        .any(|fact| matches!(fact, GateEvidence::Workers { standing: WorkerStanding::AllBusy, .. }))
}

/// How the workers stand is said by the gate itself, and a part of a quota that has no limit stops nobody.
fn is_news(fact: &GateEvidence) -> bool {
    !matches!(
        fact,
        GateEvidence::Workers { .. }
            | GateEvidence::QuotaSlots { cap: 0, .. }
            | GateEvidence::QuotaWindow { limit: 0, .. }
            | GateEvidence::BudgetDimension { hard_limit: 0, .. }
    )
}

fn evidence_rows(gate: &GateReport, now: i64) -> Vec<Vec<comfy_table::Cell>> {
    let facts: Vec<_> = gate.evidence.iter().filter(|fact| is_news(fact)).collect();
    let mut lines: Vec<_> =
        facts.iter().take(EVIDENCE_SHOWN).map(|fact| evidence(fact, now)).collect();
    if facts.len() > EVIDENCE_SHOWN {
        lines.push(format!("and {} more", facts.len() - EVIDENCE_SHOWN));
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
        GateEvidence::FlowCancelled { flow_id, policy, reason, at } => {
            let at = time::relative(at.0, now);
            format!("{} was cancelled {at} ({policy}): {reason}", id::show_flow(flow_id))
        }
        GateEvidence::Suspension { reason, since, until, at_timeout, .. } => {
            let since = time::relative(since.0, now);
            let then = at_timeout.as_deref().unwrap_or("nothing");
            let until = until.map_or_else(String::new, |at| {
                format!(", times out {}: {then}", time::relative(at.0, now))
            });
            format!("suspended {since}: {reason}{until}")
        }
        GateEvidence::Waitpoint { waitpoint_id, key, state, since, expires_at } => {
            let since = time::relative(since.0, now);
            let until = expires_at
                .map_or_else(String::new, |at| format!(", ends {}", time::relative(at.0, now)));
            let shown = id::show_waitpoint(waitpoint_id);
            format!("waitpoint {key} ({shown}) is {state}, made {since}{until}")
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
        GateEvidence::Worker { worker_instance_id, is_alive, announced_at, holds } => {
            let since = time::relative(announced_at.0, now);
            if *is_alive {
                format!("{worker_instance_id} could run it: registered {since}, holds {holds}")
            } else {
                format!("{worker_instance_id} could have run it: registered {since}, is gone")
            }
        }
        GateEvidence::Inconsistent { detail } => {
            format!("{detail}; `ff verify` shows what else disagrees")
        }
        GateEvidence::Unreadable { detail } => format!("cannot be read: {detail}"),
        other => format!("{other:?}"),
    }
}
