//! The short form of every phase that needs no process of its own runs to its end and reports.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ff_bench::{BenchOptions, Phase, run};

/// Figures that a phase must report, by a part of their names.
fn reports(phase: Phase, figures: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let options =
        BenchOptions { dir: dir.path().to_owned(), quick: true, json: true, only: Some(phase) };

    let report = run(&options).unwrap();

    let found = report.to_json();
    let found = found["figures"].as_array().unwrap();
    assert_eq!(found.len(), figures.len(), "{report}");
    for (figure, name) in found.iter().zip(figures) {
        assert!(figure["name"].as_str().unwrap().contains(name), "{figure} is not about {name}");
        assert!(figure["value"].as_f64().unwrap() > 0.0, "{figure}");
    }
    assert!(!report.sections.is_empty());
    let measured = |measure: &ff_bench::Measure| measure.value.is_finite() && measure.value > 0.0;
    let measures = report.sections.iter().flat_map(|section| &section.rows);
    assert!(measures.flat_map(|row| &row.measures).all(measured), "{report}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "databases are left over");
}

#[test]
fn chains_of_ten() {
    reports(Phase::Chain, &["chain of 10"]);
}

#[test]
fn a_fan_of_a_thousand() {
    reports(Phase::FanOut, &["64 clients", "vs. raw group commit"]);
}

#[test]
fn signal_to_resumed_worker() {
    reports(Phase::Signal, &["p50", "raw transactions"]);
}

#[test]
fn frames_of_one_stream_and_of_64() {
    reports(Phase::Frames, &["1 stream", "64 streams"]);
}

#[test]
fn append_to_blocked_tail() {
    reports(Phase::Tail, &["raw append"]);
}

#[test]
fn reports_to_one_budget() {
    reports(Phase::Budget, &["one budget"]);
}
