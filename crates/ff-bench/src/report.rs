//! What a run found, for people and for programs.

use std::fmt::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Everything a run measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether it was the short form.
    pub quick: bool,
    /// Where the databases lay.
    pub directory: String,
    /// What a reader should know before believing a number.
    pub warnings: Vec<String>,
    /// The figures that have a target.
    pub figures: Vec<Figure>,
    /// The measurements behind them.
    pub sections: Vec<Section>,
}

/// A number that has to reach a target.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// What it should be.
    pub target: Target,
    /// Whether it is.
    pub met: bool,
}

/// Where a figure should lie.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A quotient.
    Ratio,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Operations in a second.
    PerSecond,
    /// Hundredths.
    Percent,
    /// Millions of bytes.
    Megabytes,
    /// A plain number.
    Count,
}

/// A table of measurements.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// What the table is about.
    pub title: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// One line of a [`Section`]; every row of a section has the same measures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What the line is about.
    pub label: String,
    /// Its numbers.
    pub measures: Vec<Measure>,
}

/// One number.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// The column.
    pub name: &'static str,
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: Unit, target: Target) -> Self {
        let met = match target {
            Target::AtLeast(least) => value >= least,
            Target::AtMost(most) => value <= most,
        };
        Self { name: name.into(), value, unit, target, met }
    }
}

impl Section {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, label: impl Into<String>, measures: Vec<Measure>) {
        self.rows.push(Row { label: label.into(), measures });
    }
}

impl Measure {
    pub(crate) const fn new(name: &'static str, value: f64, unit: Unit) -> Self {
        Self { name, value, unit }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}×"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds if value < 1.0 => format!("{value:.3} ms"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Percent => format!("{value:.2} %"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Count => format!("{value:.0}"),
        }
    }

    fn show_target(self, target: Target) -> String {
        let (word, value) = match target {
            Target::AtLeast(least) => ("≥", least),
            Target::AtMost(most) => ("≤", most),
        };
        match self {
            Self::Ratio => format!("{word} {value}×"),
            Self::Seconds => format!("{word} {value} s"),
            Self::Milliseconds => format!("{word} {value} ms"),
            Self::PerSecond => format!("{word} {value}/s"),
            Self::Percent => format!("{word} {value} %"),
            Self::Megabytes => format!("{word} {value} MB"),
            Self::Count => format!("{word} {value}"),
        }
    }
}

impl Report {
    /// Whether every figure reached its target.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.figures.iter().all(|figure| figure.met)
    }

    /// The report as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for section in &self.sections {
            writeln!(text, "{}", section.title)?;
            writeln!(text, "{}\n", indented(&section_table(section)))?;
        }
        writeln!(text, "Targets")?;
        writeln!(text, "{}", indented(&figure_table(&self.figures)))?;
        for warning in &self.warnings {
            writeln!(text, "\n! {warning}")?;
        }
        f.write_str(text.trim_end())
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table
}

fn section_table(section: &Section) -> Table {
    let mut table = plain_table();
    let Some(first) = section.rows.first() else { return table };
    table.set_header(std::iter::once("").chain(first.measures.iter().map(|measure| measure.name)));
    for row in &section.rows {
        let values = row.measures.iter().map(|measure| measure.unit.show(measure.value));
        table.add_row(std::iter::once(row.label.clone()).chain(values));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn figure_table(figures: &[Figure]) -> Table {
    let mut table = plain_table();
    for figure in figures {
        table.add_row([
            if figure.met { "✓" } else { "✗" }.to_owned(),
            figure.name.clone(),
            figure.unit.show(figure.value),
            figure.unit.show_target(figure.target),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn indented(table: &Table) -> String {
    table.trim_fmt().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_its_target_in_both_directions() {
        let met = |value, target| Figure::new("f", value, Unit::Ratio, target).met;

        assert!(met(0.5, Target::AtLeast(0.5)) && !met(0.49, Target::AtLeast(0.5)));
        assert!(met(1.5, Target::AtMost(1.5)) && !met(1.51, Target::AtMost(1.5)));
    }

    #[test]
    fn a_report_shows_each_figure_with_its_target_and_mark() {
        let mut section = Section::new("one client");
        section.row("engine", vec![Measure::new("p50", 0.25, Unit::Milliseconds)]);
        let report = Report {
            quick: true,
            directory: "/d".to_owned(),
            warnings: vec!["beware".to_owned()],
            figures: vec![
                Figure::new("lifecycle", 0.61, Unit::Ratio, Target::AtLeast(0.5)),
                Figure::new("idle", 1.5, Unit::Percent, Target::AtMost(1.0)),
            ],
            sections: vec![section],
        };
        let text = report.to_string();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<_> = text.lines().map(words).collect();

        for line in ["engine 0.250 ms", "✓ lifecycle 0.61× ≥ 0.5×", "✗ idle 1.50 % ≤ 1 %"]
        {
            assert!(lines.iter().any(|found| found == line), "{line:?} is not in\n{text}");
        }
        assert!(!report.all_met());
        assert_eq!(report.to_json()["figures"][0]["target"]["at_least"], 0.5);
    }
}
