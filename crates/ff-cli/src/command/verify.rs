//! `ff verify`: every invariant of the store, row by row.

use std::process::ExitCode;

use serde_json::json;

use crate::error::{Exit, Result};
use crate::output::{Output, cell};
use crate::store::{Location, Purpose, Store};

pub(crate) async fn run(location: &Location, output: Output) -> Result<ExitCode> {
    let store = Store::open(location, Purpose::Inspect).await?;
    let report = store.verify().await?;
    store.close().await;
    let findings: u64 = report.checks.iter().map(|check| check.count).sum();
    if output.is_json() {
        let checks: Vec<_> = report
            .checks
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "title": check.title,
                    "count": check.count,
                    "findings": check.findings,
                })
            })
            .collect();
        output.json(&json!({
            "ok": findings == 0,
            "findings": findings,
            "checks": checks,
            "clock_steps": report.clock_steps,
        }))?;
    } else {
        let rows = report
            .checks
            .iter()
            .map(|check| {
                let verdict =
                    if check.count == 0 { "ok".to_owned() } else { check.count.to_string() };
                vec![
                    cell(&check.name),
                    output.judged(verdict, check.count == 0),
                    cell(&check.title),
                ]
            })
            .collect();
        if !output.quiet {
            output.table(&["CHECK", "FINDINGS", "WHAT MUST HOLD"], rows, "nothing to check")?;
        }
        for check in report.checks.iter().filter(|check| check.count > 0) {
            for finding in &check.findings {
                output.line(&format!("{}: {}", check.name, crate::output::escape(finding)))?;
            }
            let shown = u64::try_from(check.findings.len()).unwrap_or(u64::MAX);
            if check.count > shown {
                output.line(&format!("{}: and {} more", check.name, check.count - shown))?;
            }
        }
        for step in &report.clock_steps {
            output.line(&format!("clock: {}", crate::output::escape(step)))?;
        }
        if !output.quiet {
            let verdict = match findings {
                0 => format!("{} checks, no finding", report.checks.len()),
                1 => "1 finding".to_owned(),
                many => format!("{many} findings"),
            };
            output.line(&verdict)?;
        }
    }
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(Exit::Error.code()) })
}
