//! Rows as the tables hold them, and rows as the rules see them.
//!
//! Reading takes what the 0.15 contract lets SQL from outside write: columns of ours at their defaults, and the older
//! spellings of the state columns. Writing uses the canonical words only. A value outside both is corruption, named by
//! table, column and execution; it is never a default.

mod execution;
mod fields;

use std::fmt;

use ff_core::EngineError;
use ff_core::types::{ExecutionId, TimestampMs};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError};
use uuid::Uuid;

use crate::error::{Doing as _, corrupt};

pub(crate) use execution::{attempt, execution, outcome_word, reason_word};
pub(crate) use fields::{fields_patch, whole_fields};

/// Reads a row's columns in the order in which its statement names them.
pub(crate) struct Columns<'r> {
    row: &'r Row<'r>,
    at: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r Row<'r>) -> Self {
        Self { row, at: 0 }
    }

    pub(crate) fn next<T: FromSql>(&mut self) -> Result<T, EngineError> {
        let value = self.row.get(self.at).doing("read a row");
        self.at += 1;
        value
    }

    pub(crate) fn text(&mut self) -> Result<&'r str, EngineError> {
        let read = self.row.get_ref(self.at).and_then(|value| self.typed(value.as_str()));
        self.at += 1;
        read.doing("read a row")
    }

    /// The text, or `None` for NULL and for the empty text.
    pub(crate) fn filled(&mut self) -> Result<Option<&'r str>, EngineError> {
        let read = self.row.get_ref(self.at).and_then(|value| self.typed(value.as_str_or_null()));
        self.at += 1;
        Ok(read.doing("read a row")?.filter(|text| !text.is_empty()))
    }

    /// The bytes, or `None` for NULL.
    pub(crate) fn bytes(&mut self) -> Result<Option<&'r [u8]>, EngineError> {
        let read = self.row.get_ref(self.at).and_then(|value| self.typed(value.as_blob_or_null()));
        self.at += 1;
        read.doing("read a row")
    }

    /// A UUID in sixteen bytes; `None` for NULL and for anything else.
    fn uuid(&mut self) -> Result<Option<Uuid>, EngineError> {
        Ok(self.bytes()?.and_then(|bytes| Uuid::from_slice(bytes).ok()))
    }

    pub(crate) fn instant(&mut self) -> Result<Option<TimestampMs>, EngineError> {
        Ok(self.next::<Option<i64>>()?.map(TimestampMs))
    }

    fn typed<T>(&self, value: Result<T, FromSqlError>) -> rusqlite::Result<T> {
        value.map_err(|error| {
            let column = self.row.as_ref().column_name(self.at).unwrap_or("?").to_owned();
            match self.row.get_ref(self.at) {
                Ok(found) if matches!(error, FromSqlError::InvalidType) => {
                    rusqlite::Error::InvalidColumnType(self.at, column, found.data_type())
                }
                Ok(found) => rusqlite::Error::FromSqlConversionFailure(
                    self.at,
                    found.data_type(),
                    Box::new(error),
                ),
                Err(error) => error,
            }
        })
    }
}

/// An id from its two columns.
pub(crate) fn execution_id(
    table: &str,
    partition: i64,
    uuid: &[u8],
) -> Result<ExecutionId, EngineError> {
    match (u16::try_from(partition), Uuid::from_slice(uuid)) {
        (Ok(partition), Ok(uuid)) => Ok(ExecutionId::from_parts(partition, uuid)),
        (Err(_), _) => Err(corrupt(table, "partition_key", Hex(uuid), partition)),
        (Ok(partition), Err(_)) => {
            Err(corrupt(table, "execution_id", format_args!("partition {partition}"), Hex(uuid)))
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x'")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("'")
    }
}

/// The row that a corrupt column belongs to.
pub(crate) struct Of<'a>(pub(crate) &'a ExecutionId);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "execution {}", self.0)
    }
}

/// An unsigned number of ours in SQLite's signed column.
pub(crate) fn signed(column: &str, of: &ExecutionId, value: u64) -> Result<i64, EngineError> {
    i64::try_from(value).map_err(|_| corrupt("engine", column, Of(of), value))
}

/// A number that is never negative in our rows.
pub(crate) fn unsigned(
    table: &str,
    column: &str,
    of: &ExecutionId,
    value: i64,
) -> Result<u64, EngineError> {
    u64::try_from(value).map_err(|_| corrupt(table, column, Of(of), value))
}
