//! The floor by tape: what SQLite alone costs, for operations that change many rows.
//!
//! The tape is made by the engine. On a database of its own, before anything is timed, triggers
//! note every row that an operation inserts, changes or removes, with its values. The floor plays
//! these operations back on another database with the schema that the engine migrated (its tables,
//! generated columns, indexes and triggers) and with the engine's durability (WAL,
//! `synchronous=FULL`, a file on disk) and page cache.
//!
//! What it writes is what the engine wrote, row for row and in the same order, and no more:
//!
//! | noted | played |
//! |---|---|
//! | insert | every stored column, the keys included |
//! | update | the columns whose value changed, by primary key; nothing if none did |
//! | delete | by primary key |
//! | each transaction | raise `ff_engine_clock`, which is not noted |
//!
//! Every statement is prepared once and held, and every value is bound from memory. What the floor
//! does *not* do is the engine's work: it loads nothing, decides nothing, draws no id, encodes
//! nothing, and updates name no column that stays as it is.
//!
//! A test of the phases plays tapes and holds the two databases equal, value by value.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ff_core::clock::{Clock as _, SystemClock};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, Statement, params_from_iter};

use crate::error::{BenchError, Doing as _};
use crate::floor::{CLOCK_RAISE, open};
use crate::group::Committer;

/// Every database has it, and every transaction writes it: the floor does so by itself.
const CLOCK: &str = "ff_engine_clock";

/// A change of one row.
#[derive(Debug, Clone)]
struct RowChange {
    statement: usize,
    values: Vec<Value>,
}

/// What one operation of the engine changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operation(Vec<RowChange>);

/// Statements by their text, numbered.
#[derive(Debug, Clone, Default)]
struct Script {
    texts: Vec<String>,
    places: HashMap<String, usize>,
}

impl Script {
    fn place(&mut self, text: String) -> usize {
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        self.texts.push(text.clone());
        self.places.insert(text, self.texts.len() - 1);
        self.texts.len() - 1
    }
}

#[derive(Debug)]
struct Table {
    name: String,
    columns: Vec<String>,
    /// Places of the primary key's columns.
    key: Vec<usize>,
}

/// Operations of the engine, in their order, and the statements that play them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tape {
    script: Script,
    pub(crate) operations: Vec<Operation>,
}

/// Says that an operation is over.
pub(crate) type Mark<'m> = &'m mut (dyn FnMut() -> Result<(), BenchError> + Send);

/// Nobody records.
pub(crate) fn unmarked() -> Result<(), BenchError> {
    Ok(())
}

/// Notes what an engine writes.
#[derive(Debug)]
pub(crate) struct Recorder {
    conn: Connection,
    tables: Vec<Table>,
    /// The last note that was read.
    read: i64,
    tape: Tape,
}

impl Recorder {
    /// Notes all that is written to this database from now on.
    pub(crate) fn start(path: &Path) -> Result<Self, BenchError> {
        let conn = open(path)?;
        let tables = tables(&conn).doing("read the schema")?;
        conn.execute_batch(&triggers(&tables)).doing("put the recording triggers in")?;
        Ok(Self { conn, tables, read: 0, tape: Tape::default() })
    }

    /// What was written since the last call is one operation.
    pub(crate) fn mark(&mut self) -> Result<(), BenchError> {
        let Self { conn, tables, read, tape } = self;
        let mut changes = Vec::new();
        let mut collect = || {
            let mut statement =
                conn.prepare_cached("SELECT * FROM bench_tape WHERE id > ?1 ORDER BY id")?;
            let mut rows = statement.query([*read])?;
            while let Some(row) = rows.next()? {
                *read = row.get(0)?;
                changes.extend(change(row, tables, &mut tape.script)?);
            }
            Ok::<_, rusqlite::Error>(())
        };
        collect().doing("read the tape")?;
        tape.operations.push(Operation(changes));
        Ok(())
    }

    pub(crate) fn finish(self) -> Tape {
        self.tape
    }
}

fn tables(conn: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut names = conn.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
            AND name <> ?1",
    )?;
    let names = names.query_map([CLOCK], |row| row.get(0))?;
    let mut tables = Vec::new();
    for name in names {
        let name: String = name?;
        let mut stored =
            conn.prepare("SELECT name, pk > 0 FROM pragma_table_xinfo(?1) WHERE hidden = 0")?;
        let stored = stored.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let stored: Vec<(String, bool)> = stored.collect::<rusqlite::Result<_>>()?;
        let key = (0..stored.len()).filter(|place| stored[*place].1).collect();
        tables.push(Table {
            name,
            columns: stored.into_iter().map(|(name, _)| name).collect(),
            key,
        });
    }
    Ok(tables)
}

/// A table without column types, which keeps every value as it is, and what fills it.
fn triggers(tables: &[Table]) -> String {
    let widest = tables.iter().map(|table| table.columns.len()).max().unwrap_or_default();
    let fields = |count: usize| join((0..count).map(|place| format!(", v{place}")));
    let mut text = format!(
        "CREATE TABLE bench_tape (id INTEGER PRIMARY KEY, source, kind{});",
        fields(widest)
    );
    for (number, Table { name, columns, .. }) in tables.iter().enumerate() {
        let changed: Vec<_> =
            columns.iter().map(|column| format!("(NEW.{column} IS NOT OLD.{column})")).collect();
        for (event, kind, from) in [
            ("INSERT", "'insert'".to_owned(), "NEW"),
            ("UPDATE", changed.join(" || "), "NEW"),
            ("DELETE", "'delete'".to_owned(), "OLD"),
        ] {
            let values = join(columns.iter().map(|column| format!(", {from}.{column}")));
            text += &format!(
                "CREATE TRIGGER bench_{event}_{name} AFTER {event} ON {name} BEGIN
                    INSERT INTO bench_tape (source, kind{}) VALUES ({number}, {kind}{values});
                END;",
                fields(columns.len())
            );
        }
    }
    text
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect()
}

/// A note as a statement and its values; `None` for an update that changed nothing.
fn change(
    row: &Row<'_>,
    tables: &[Table],
    script: &mut Script,
) -> rusqlite::Result<Option<RowChange>> {
    const FIRST: usize = 3;
    let source = row.get::<_, i64>(1)?;
    let table = usize::try_from(source).ok().and_then(|source| tables.get(source));
    let table = table.ok_or(rusqlite::Error::IntegralValueOutOfRange(1, source))?;
    let kind: String = row.get(2)?;
    let value = |place: &usize| row.get::<_, Value>(FIRST + place);
    let of_key = |after: usize| {
        let terms = table.key.iter().zip(after + 1..);
        let terms = terms.map(|(place, number)| format!("{} = ?{number}", table.columns[*place]));
        terms.collect::<Vec<_>>().join(" AND ")
    };
    let name = &table.name;
    let (text, places): (String, Vec<usize>) = match kind.as_str() {
        "insert" => {
            let places: Vec<_> = (0..table.columns.len()).collect();
            let marks: Vec<_> = places.iter().map(|place| format!("?{}", place + 1)).collect();
            let (columns, marks) = (table.columns.join(", "), marks.join(", "));
            (format!("INSERT INTO {name} ({columns}) VALUES ({marks})"), places)
        }
        "delete" => (format!("DELETE FROM {name} WHERE {}", of_key(0)), table.key.clone()),
        changed => {
            let marks = changed.bytes().enumerate();
            let mut places: Vec<_> =
                marks.filter(|(_, mark)| *mark == b'1').map(|(place, _)| place).collect();
            if places.is_empty() {
                return Ok(None);
            }
            let sets = places.iter().zip(1..);
            let sets = sets.map(|(place, number)| format!("{} = ?{number}", table.columns[*place]));
            let sets = sets.collect::<Vec<_>>().join(", ");
            let text = format!("UPDATE {name} SET {sets} WHERE {}", of_key(places.len()));
            places.extend(&table.key);
            (text, places)
        }
    };
    let values = places.iter().map(value).collect::<rusqlite::Result<_>>()?;
    Ok(Some(RowChange { statement: script.place(text), values }))
}

/// Plays what was recorded.
#[derive(Debug)]
pub(crate) struct Player<'c> {
    clock: SystemClock,
    begin: Statement<'c>,
    commit: Statement<'c>,
    clock_raise: Statement<'c>,
    statements: Vec<Statement<'c>>,
}

impl<'c> Player<'c> {
    pub(crate) fn prepare(conn: &'c Connection, tape: &Tape) -> Result<Self, BenchError> {
        let prepare = || {
            Ok::<_, rusqlite::Error>(Self {
                clock: SystemClock::new(),
                begin: conn.prepare("BEGIN IMMEDIATE")?,
                commit: conn.prepare("COMMIT")?,
                clock_raise: conn.prepare(CLOCK_RAISE)?,
                statements: tape
                    .script
                    .texts
                    .iter()
                    .map(|text| conn.prepare(text))
                    .collect::<rusqlite::Result<_>>()?,
            })
        };
        prepare().doing("prepare the floor's statements")
    }

    /// Plays operations in one transaction. An error leaves it open: the benchmark ends.
    pub(crate) fn play<'o>(
        &mut self,
        operations: impl IntoIterator<Item = &'o Operation>,
    ) -> Result<(), BenchError> {
        let run = || {
            self.begin.execute([])?;
            let now = self.clock.wall();
            for RowChange { statement, values } in operations.into_iter().flat_map(|all| &all.0) {
                let changed = self.statements[*statement].execute(params_from_iter(values))?;
                if changed != 1 {
                    return Err(rusqlite::Error::StatementChangedRows(changed));
                }
            }
            self.clock_raise.execute([now.0])?;
            self.commit.execute([]).map(drop)
        };
        run().doing("write the floor's rows")
    }
}

/// A thread that plays the operations that clients ask for by their places, in groups.
pub(crate) fn committer(
    conn: Connection,
    tape: Arc<Tape>,
) -> Result<Committer<usize, ()>, BenchError> {
    Committer::start(move |waiting| {
        let mut player = Player::prepare(&conn, &tape)?;
        while let Some(group) = waiting.group() {
            player.play(group.iter().map(|(place, _)| &tape.operations[*place]))?;
            for (_, reply) in group {
                // A client that ended needs no answer.
                let _ended = reply.send(());
            }
        }
        Ok(())
    })
}
