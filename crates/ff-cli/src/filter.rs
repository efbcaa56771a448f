//! Which executions a command means: the same flags for every command that takes many.

use clap::Args;
use ff_core::EngineError;
use ff_core::contracts::{ExecutionSummary, FIND_EXECUTIONS_MAX_LIMIT, FindExecutionsArgs};
use ff_core::engine_backend::EngineBackend;
use ff_core::state::PublicState;
use ff_core::types::LaneId;

use crate::error::{Error, Exit, Result};
use crate::id;

/// The states that nothing but a replay leaves.
pub(crate) const ENDED: [PublicState; 5] = [
    PublicState::Completed,
    PublicState::Failed,
    PublicState::Cancelled,
    PublicState::Expired,
    PublicState::Skipped,
];

/// Whether an execution in this state has ended.
pub(crate) fn is_ended(state: PublicState) -> bool {
    ENDED.contains(&state)
}

/// Selects executions; all that is given must fit.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Filter {
    /// Only executions in these states.
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub(crate) state: Vec<PublicState>,
    /// Only executions of this lane.
    #[arg(long, value_name = "LANE", value_parser = parse_lane)]
    pub(crate) lane: Option<LaneId>,
    /// Only executions of this kind.
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only executions with this tag.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_tag)]
    pub(crate) tag: Option<(String, String)>,
    /// Only members of this flow: its id, or the first digits of it.
    #[arg(long, value_name = "ID")]
    pub(crate) flow: Option<String>,
}

impl Filter {
    /// Whether nothing is given, so that everything fits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.is_empty()
            && self.lane.is_none()
            && self.kind.is_none()
            && self.tag.is_none()
            && self.flow.is_none()
    }

    /// The engine's search for it, with the largest page.
    pub(crate) async fn search(&self, engine: &dyn EngineBackend) -> Result<FindExecutionsArgs> {
        let mut args = self.local_search();
        if let Some(text) = &self.flow {
            args.flow_id = Some(id::resolve_flow(engine, text).await?);
        }
        Ok(args)
    }

    /// All of it that needs no engine.
    fn local_search(&self) -> FindExecutionsArgs {
        let mut args = FindExecutionsArgs::new()
            .with_states(self.state.clone())
            .with_limit(FIND_EXECUTIONS_MAX_LIMIT);
        args.lane.clone_from(&self.lane);
        args.kind.clone_from(&self.kind);
        args.tag.clone_from(&self.tag);
        args
    }
}

/// Reads the next page that has a row; an empty one ends the search.
///
/// The engine's pages examine a bounded number of rows and may be empty in between; those are passed over.
/// `args` goes on where it left off.
pub(crate) async fn next_page(
    engine: &dyn EngineBackend,
    args: &mut FindExecutionsArgs,
) -> Result<(Vec<ExecutionSummary>, bool)> {
    loop {
        let page = engine
            .find_executions(args.clone())
            .await
            .map_err(|error| unsearchable(&error, args.cursor.is_some()))?;
        let more = page.next_cursor.is_some();
        if more {
            args.cursor = page.next_cursor;
        }
        if !more || !page.executions.is_empty() {
            return Ok((page.executions, more));
        }
    }
}

fn unsearchable(error: &EngineError, has_cursor: bool) -> Error {
    let told = Error::engine("search the executions", error);
    if has_cursor && told.exit == Exit::Usage {
        return told.fix("leave out --cursor to begin with the first page");
    }
    told
}

/// Reads everything that fits.
pub(crate) async fn find_all(
    engine: &dyn EngineBackend,
    mut args: FindExecutionsArgs,
) -> Result<Vec<ExecutionSummary>> {
    let mut found = Vec::new();
    loop {
        let (page, more) = next_page(engine, &mut args).await?;
        found.extend(page);
        if !more {
            return Ok(found);
        }
    }
}

/// Reads a state by its word.
pub(crate) fn parse_state(word: &str) -> Result<PublicState, String> {
    PublicState::from_wire(word).ok_or_else(|| {
        let words: Vec<_> = PublicState::ALL.iter().map(|state| state.as_str()).collect();
        format!("the states are {}", words.join(", "))
    })
}

/// Reads a lane's name.
pub(crate) fn parse_lane(name: &str) -> Result<LaneId, String> {
    LaneId::try_new(name).map_err(|error| error.to_string())
}

/// Reads `key=value`; the value may be empty and may hold further equals signs.
pub(crate) fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a tag as KEY=VALUE, for example team=core".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_states_and_lanes_are_read_or_refused() {
        assert_eq!(parse_tag("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_tag("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_tag("=b").is_err() && parse_tag("ab").is_err());
        assert_eq!(parse_state("waiting_children"), Ok(PublicState::WaitingChildren));
        assert!(parse_state("done").unwrap_err().contains("completed"));
        assert!(
            parse_lane("").is_err() && parse_lane("a\n").is_err() && parse_lane("mail").is_ok()
        );
    }

    #[test]
    fn a_filter_becomes_a_search_of_whole_pages() {
        let filter = Filter { kind: Some("k".to_owned()), ..Filter::default() };
        let search = filter.local_search();
        assert_eq!((search.kind.as_deref(), search.limit), (Some("k"), 1_000));
        assert!(!filter.is_empty() && Filter::default().is_empty());
        let of_flow = Filter { flow: Some("flo_0".to_owned()), ..Filter::default() };
        assert!(!of_flow.is_empty());
    }
}
