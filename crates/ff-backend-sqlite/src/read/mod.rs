//! The reads of the store, by subject.

pub(crate) mod event;
pub(crate) mod execution;
pub(crate) mod lane;
pub(crate) mod lease;

use ff_core::EngineError;
use ff_core::types::ExecutionId;

use crate::row::{Columns, execution_id};

/// A limit as SQLite takes it; it knows no larger one.
pub(crate) fn page(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The id in the next two columns.
fn next_id(table: &str, columns: &mut Columns<'_>) -> Result<ExecutionId, EngineError> {
    let partition = columns.next()?;
    execution_id(table, partition, columns.bytes()?.unwrap_or_default())
}

/// The id in the next two columns; `None` for one that no execution of the engine has. An index that proposes
/// executions passes over it, so that a row nobody can address does not stop the line.
fn next_proposed(columns: &mut Columns<'_>) -> Result<Option<ExecutionId>, EngineError> {
    let partition = columns.next()?;
    let Ok(Some(uuid)) = columns.bytes() else { return Ok(None) };
    Ok(execution_id("ff_exec_core", partition, uuid).ok())
}
