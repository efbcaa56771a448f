//! Open suspensions and waitpoints.

use ff_core::EngineError;
use ff_core::engine_error::ValidationKind;
use ff_core::machine::suspension::{Suspension, Waitpoint};
use ff_core::store::SuspensionReader;
use ff_core::types::{ExecutionId, TimestampMs, WaitpointId};
use rusqlite::params;

use super::{next_proposed, page};
use crate::error::Doing as _;
use crate::load::suspension;
use crate::row::Columns;
use crate::session::{SqliteSession, prepared};
use crate::statement;

impl SuspensionReader for SqliteSession<'_> {
    fn open_suspensions(
        &mut self,
        partition: Option<u16>,
        after: Option<&ExecutionId>,
        limit: usize,
    ) -> Result<Vec<Suspension>, EngineError> {
        let what = "list suspensions";
        let (low, high) = (partition.unwrap_or(0), partition.unwrap_or(u16::MAX));
        // No key of a partition is below the empty one.
        let (mut from, mut key) = match after {
            Some(after) => (i64::from(after.partition()), after.uuid().as_bytes().to_vec()),
            None => (-1, Vec::new()),
        };
        let mut found = Vec::new();
        // A page that is not full tells that it is the last: what is left out is made up for.
        loop {
            let wanted = limit - found.len();
            let mut statement = prepared(self, statement::SUSPENSION_LIST)?;
            let mut rows =
                statement.query(params![low, high, from, key, page(wanted)]).doing(what)?;
            let mut examined = 0;
            while let Some(row) = rows.next().doing(what)? {
                examined += 1;
                let mut place = Columns::of(row);
                from = place.next()?;
                key = place.bytes()?.unwrap_or_default().to_vec();
                match suspension::suspension_row(row) {
                    Ok(suspension) => found.push(suspension),
                    // One damaged row must not hide the others.
                    Err(EngineError::Validation { kind: ValidationKind::Corruption, detail }) => {
                        tracing::error!(%detail, "a suspension is left out of a list because its row cannot be read");
                    }
                    Err(error) => return Err(error),
                }
            }
            if examined < wanted || found.len() == limit {
                return Ok(found);
            }
        }
    }

    fn open_waitpoints(
        &mut self,
        execution: &ExecutionId,
        after: Option<&WaitpointId>,
        limit: usize,
    ) -> Result<Vec<Waitpoint>, EngineError> {
        suspension::open_waitpoints(self, execution, after, limit)
    }

    fn open_waitpoint(
        &mut self,
        partition: u16,
        id: &WaitpointId,
    ) -> Result<Option<Waitpoint>, EngineError> {
        suspension::waitpoint(self, partition, id)
    }

    fn expired_waitpoints(
        &mut self,
        now: TimestampMs,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let what = "list expired waitpoints";
        let mut statement = prepared(self, statement::WAITPOINT_EXPIRED)?;
        let mut rows = statement.query(params![now.0, page(limit)]).doing(what)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().doing(what)? {
            found.extend(next_proposed(&mut Columns::of(row))?);
        }
        Ok(found)
    }
}
