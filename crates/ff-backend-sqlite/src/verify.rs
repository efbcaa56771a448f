//! Checking a database against the engine's invariants, row by row.
//!
//! Each check is one statement under `sql/verify/` that answers a row for every finding: partition, execution and what
//! is wrong with it. All of them run in one read transaction on a connection of their own, so they see one state and
//! workers go on meanwhile; the log cannot start anew until they are done. Sorts spill to a temporary file, findings
//! beyond [`FINDINGS_MAX`] are only counted: memory does not grow with the database.
//!
//! Rows that SQL from outside has written have no version, no recorded moves and no ids of ours. What the engine keeps
//! about its own rows is asked of its own rows only.
//!
//! Not checked: that a retry count stays within the stored policy, because a call that fails an attempt may bring a
//! policy of its own, which is not stored.

use std::fmt;

use ff_core::EngineError;
use ff_core::machine::state::legal_transitions;
use ff_core::types::ExecutionId;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Row, params_from_iter};
use serde::Serialize;
use uuid::Uuid;

use crate::aside;
use crate::backend::SqliteBackend;
use crate::error::Doing as _;

/// Findings of one check that are spelled out.
pub const FINDINGS_MAX: usize = 100;

/// Clock steps that are spelled out, the newest.
const CLOCK_STEPS_MAX: u16 = 100;

/// What [`SqliteBackend::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Every check that ran, in order.
    pub checks: Vec<VerifyCheck>,
    /// Forward jumps of the wall clock by more than an hour. No findings: time did not run backwards.
    pub clock_steps: Vec<String>,
}

impl VerifyReport {
    /// Whether no check found anything.
    pub fn is_clean(&self) -> bool {
        self.checks.iter().all(|check| check.count == 0)
    }

    /// The checks that found something.
    pub fn failed(&self) -> impl Iterator<Item = &VerifyCheck> {
        self.checks.iter().filter(|check| check.count > 0)
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return write!(f, "{} checks, nothing found", self.checks.len());
        }
        for check in self.failed() {
            writeln!(f, "{}: {}: {}", check.name, check.title, check.count)?;
            check.findings.iter().try_for_each(|finding| writeln!(f, "  {finding}"))?;
        }
        Ok(())
    }
}

/// One invariant and what speaks against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyCheck {
    /// Its short name: `I4`.
    pub name: String,
    /// The invariant as a sentence.
    pub title: String,
    /// The first [`FINDINGS_MAX`] findings; each names the execution and says what is wrong.
    pub findings: Vec<String>,
    /// How many there are.
    pub count: u64,
}

impl SqliteBackend {
    /// Checks every invariant that the database can answer for, while workers go on.
    ///
    /// Reads every row, so its time grows with the database. An execution that ended before the event retention of
    /// this backend's limits is not asked for its completion event.
    ///
    /// ```
    /// # use ff_backend_sqlite::SqliteOptions;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = SqliteOptions::new("file:verify-doc?mode=memory&cache=shared").open().await?;
    /// assert!(engine.verify().await?.is_clean());
    /// # Ok(()) }
    /// ```
    pub async fn verify(&self) -> Result<VerifyReport, EngineError> {
        let event_retention_ms = i64::try_from(self.limits().event_retention.0).unwrap_or(i64::MAX);
        aside::run(self, "ff-sqlite-verify", move |conn| report(conn, event_retention_ms)).await
    }
}

/// What a check's statement is given.
#[derive(Debug, Clone, Copy)]
enum Given {
    Nothing,
    /// The instant before which completion events may have been removed.
    EventsSince,
    /// The legal moves, as pairs in JSON.
    LegalMoves,
}

struct Check {
    name: &'static str,
    title: &'static str,
    sql: &'static str,
    given: Given,
}

macro_rules! check {
    ($name:literal, $title:literal, $file:literal, $given:ident) => {
        Check {
            name: $name,
            title: $title,
            sql: include_str!(concat!("../sql/verify/", $file, ".sql")),
            given: Given::$given,
        }
    };
}

const CHECKS: &[Check] = &[
    check!("I1", "every execution that waits is in line, and nothing else is", "i1", Nothing),
    check!("I2", "a run ends once", "i2", Nothing),
    check!("I3", "an execution has at most one live lease", "i3", Nothing),
    check!("I4", "the epoch rises at every acquisition", "i4", Nothing),
    check!("I5", "only the holder writes", "i5", Nothing),
    check!("I6", "every end is announced, and nothing else is", "i6", EventsSince),
    check!("I7", "states follow the state machine", "i7", LegalMoves),
    check!(
        "I8",
        "attempts are numbered without gaps, and counters keep to their caps",
        "i8",
        Nothing
    ),
    check!("I9", "what is cancelled stays cancelled", "i9", Nothing),
    check!("I12", "a waitpoint ends once, and with what it belongs to", "i12", Nothing),
    check!("I13", "an accepted signal is kept, once, and seen", "i13", Nothing),
    check!("I15", "what is suspended waits under one open suspension", "i15", Nothing),
    check!("I16", "quotas are neither exceeded nor leaked", "i16", Nothing),
    check!("I17", "budgets count what was charged", "i17", Nothing),
    check!("I26", "time does not run backwards", "i26", Nothing),
    check!(
        "I28",
        "frames of a stream are numbered in order, and none came after its end",
        "i28",
        Nothing
    ),
    check!("I35", "nothing is left of what is gone", "i35", Nothing),
    check!("state", "the columns of a row agree", "state", Nothing),
    check!("gate_key", "a gate is the list of the capabilities needed", "gate_key", Nothing),
    check!("clock", "nothing happened above the clock's floor", "clock", Nothing),
    check!("I19", "a flow has no cycle, and does not grow after its end", "i19", Nothing),
    check!("I20", "every edge is settled by the end of its upstream", "i20", Nothing),
    check!("I21", "who waits for upstreams waits rightly", "i21", Nothing),
    check!("I22", "a decided group reaches what remains", "i22", Nothing),
    check!("flows", "nothing goes on in a flow that has ended", "flows", Nothing),
    check!("ledgers", "the contract's ledgers hold what they should", "ledgers", Nothing),
];

const CLOCK_STEPS: &str = include_str!("../sql/verify/clock_steps.sql");

fn report(conn: &Connection, event_retention_ms: i64) -> Result<VerifyReport, EngineError> {
    conn.pragma_update(None, "temp_store", "FILE").doing("prepare for sorting")?;
    conn.execute_batch("BEGIN").doing("begin a read")?;
    let floor: Result<i64, _> =
        conn.query_row("SELECT coalesce(max(floor_ms), 0) FROM ff_engine_clock", [], |row| {
            row.get(0)
        });
    let events_since = floor.map_or(i64::MAX, |floor| floor.saturating_sub(event_retention_ms));
    let mut checks = Vec::with_capacity(CHECKS.len() + 1);
    for check in CHECKS {
        let given = match check.given {
            Given::Nothing => None,
            Given::EventsSince => Some(Value::Integer(events_since)),
            Given::LegalMoves => Some(Value::Text(legal_moves())),
        };
        let mut found = Found::new(check.name, check.title);
        found.collect(conn, check.sql, given, finding)?;
        checks.push(found.check);
    }
    checks.push(storage(conn)?);
    let clock_steps = clock_steps(conn)?;
    conn.execute_batch("COMMIT").doing("end a read")?;
    Ok(VerifyReport { checks, clock_steps })
}

/// The file itself: pages, indexes, foreign keys.
fn storage(conn: &Connection) -> Result<VerifyCheck, EngineError> {
    let mut found = Found::new("I33", "the file is sound");
    found.collect(conn, "PRAGMA integrity_check(100)", None, |row| {
        row.get::<_, String>(0).map(|line| (line != "ok").then_some(line))
    })?;
    found.collect(conn, "PRAGMA foreign_key_check", None, |row| {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(Some(format!("a row of {table} names a row of {parent} that does not exist")))
    })?;
    Ok(found.check)
}

fn clock_steps(conn: &Connection) -> Result<Vec<String>, EngineError> {
    let what = "read the steps of the clock";
    let mut statement = conn.prepare(CLOCK_STEPS).doing(what)?;
    let rows = statement.query_map([CLOCK_STEPS_MAX], |row| {
        let (at, from, to): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!(
            "at {at} the wall clock stepped forward by {} ms, from {from} to {to}",
            to - from
        ))
    });
    rows.and_then(Iterator::collect).doing(what)
}

fn legal_moves() -> String {
    let pairs: Vec<_> = legal_transitions()
        .iter()
        .map(|(from, to)| (from.map(|state| state.as_str()), to.as_str()))
        .collect();
    serde_json::to_string(&pairs).expect("pairs of words are JSON")
}

/// `execution {fp:0}:…: what is wrong`.
fn finding(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let partition: Option<i64> = row.get(0)?;
    let id: Option<Vec<u8>> = row.get(1)?;
    let what: String = row.get::<_, Option<String>>(2)?.unwrap_or_else(|| "holds NULL".to_owned());
    let Some(id) = id else { return Ok(Some(what)) };
    let uuid = Uuid::from_slice(&id).ok();
    Ok(Some(match (partition.and_then(|number| u16::try_from(number).ok()), uuid) {
        (Some(partition), Some(uuid)) => {
            format!("execution {}: {what}", ExecutionId::from_parts(partition, uuid))
        }
        (None, Some(uuid)) => format!("execution {uuid}: {what}"),
        (_, None) => format!("execution {}: {what}", String::from_utf8_lossy(&id)),
    }))
}

/// A check while it runs.
struct Found {
    check: VerifyCheck,
}

impl Found {
    fn new(name: &str, title: &str) -> Self {
        let (name, title) = (name.to_owned(), title.to_owned());
        Self { check: VerifyCheck { name, title, findings: Vec::new(), count: 0 } }
    }

    fn add(&mut self, finding: String) {
        self.check.count += 1;
        if self.check.findings.len() < FINDINGS_MAX {
            self.check.findings.push(finding);
        }
    }

    /// Runs a statement; what is too damaged to be read is a finding, and the other checks still run.
    fn collect(
        &mut self,
        conn: &Connection,
        sql: &str,
        given: Option<Value>,
        finding: impl Fn(&Row<'_>) -> rusqlite::Result<Option<String>>,
    ) -> Result<(), EngineError> {
        let run = || -> rusqlite::Result<()> {
            let mut statement = conn.prepare(sql)?;
            let mut rows = statement.query(params_from_iter(given))?;
            while let Some(row) = rows.next()? {
                if let Some(line) = finding(row)? {
                    self.add(line);
                }
            }
            Ok(())
        };
        match run() {
            Err(error) if is_damage(&error) => {
                self.add(format!("could not be read to the end: {error}"));
                Ok(())
            }
            done => done.doing("check the database"),
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(
            error,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::Utf8Error(..)
        )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::testing::database;

    #[test]
    fn every_statement_belongs_to_a_check_and_says_its_name_first() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/verify");
        let mut files = BTreeSet::new();
        for file in std::fs::read_dir(root).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().next(), Some(&*format!("-- verify_{name}")));
            files.insert(name);
        }
        let mut known: BTreeSet<_> = CHECKS.iter().map(|check| check.name.to_lowercase()).collect();
        known.insert("clock_steps".to_owned());
        assert_eq!(files, known);
    }

    #[test]
    fn a_new_database_is_clean() {
        let report = report(&database(), 1_000).unwrap();

        assert!(report.is_clean(), "{report}");
        assert_eq!(report.checks.len(), CHECKS.len() + 1);
        let checks = CHECKS.len() + 1;
        assert_eq!(report.to_string(), format!("{checks} checks, nothing found"));
    }

    #[test]
    fn findings_beyond_the_first_hundred_are_counted() {
        let conn = database();
        conn.execute_batch(
            "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 250)
             INSERT INTO ff_payload SELECT 0, randomblob(16), x'00' FROM n",
        )
        .unwrap();

        let report = report(&conn, 1_000).unwrap();

        let failed: Vec<_> = report.failed().collect();
        assert_eq!(failed.len(), 1);
        assert_eq!((failed[0].name.as_str(), failed[0].count), ("I35", 250));
        assert_eq!(failed[0].findings.len(), FINDINGS_MAX);
    }

    #[test]
    fn a_clock_step_is_told_and_is_no_finding() {
        let conn = database();
        conn.execute_batch(
            "UPDATE ff_engine_clock SET floor_ms = 9000000;
             INSERT INTO ff_clock_step VALUES (5000000, 1000, 4000000)",
        )
        .unwrap();

        let report = report(&conn, 1_000).unwrap();

        assert!(report.is_clean(), "{report}");
        let told = "at 5000000 the wall clock stepped forward by 3999000 ms, from 1000 to 4000000";
        assert_eq!(report.clock_steps, [told]);
    }
}
