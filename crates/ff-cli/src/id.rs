//! Ids as people see and type them: a word for the kind and a UUID, or any part of its beginning that is
//! unique: `exe_018f2b6c…`, `flo_…`, `wtp_…`, `bud_…`, `quo_…`.

use ff_core::EngineError;
use ff_core::contracts::{BUDGET_PAGE_MAX, BudgetOverview, QuotaOverview};
use ff_core::engine_backend::EngineBackend;
use ff_core::types::{BudgetId, ExecutionId, FlowId, QuotaPolicyId, WaitpointId};
use uuid::Uuid;

use crate::error::{Error, Exit, Result};

/// The hexadecimal digits of a whole UUID.
const DIGITS: usize = 32;

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Execution,
    Flow,
    Waitpoint,
    Budget,
    Quota,
}

impl Kind {
    /// What its ids begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Execution => "exe_",
            Self::Flow => "flo_",
            Self::Waitpoint => "wtp_",
            Self::Budget => "bud_",
            Self::Quota => "quo_",
        }
    }

    /// With its article, as in "is not an execution id".
    const fn noun(self) -> &'static str {
        match self {
            Self::Execution => "an execution",
            Self::Flow => "a flow",
            Self::Waitpoint => "a waitpoint",
            Self::Budget => "a budget",
            Self::Quota => "a quota",
        }
    }

    /// The command that lists them.
    const fn list(self) -> &'static str {
        match self {
            Self::Execution => "ff exec list",
            Self::Flow => "ff flow list",
            Self::Waitpoint => "ff wait list",
            Self::Budget => "ff budget list",
            Self::Quota => "ff quota list",
        }
    }

    fn show(self, uuid: Uuid) -> String {
        format!("{}{uuid}", self.prefix())
    }

    fn not_found(self, text: &str) -> Error {
        let noun = self.noun().split_once(' ').map_or("", |(_, noun)| noun);
        Error::new(Exit::NotFound, "not_found", format!("no {noun} begins with `{text}`")).fix(
            format!("`{}` shows what there is; --store or FF_STORE names the store", self.list()),
        )
    }

    fn ambiguous(self, text: &str, among: &[String]) -> Error {
        let noun = self.noun().split_once(' ').map_or("", |(_, noun)| noun);
        Error::new(Exit::Conflict, "ambiguous", format!("`{text}` names more than one {noun}"))
            .why(format!("among them {}", among.join(" and ")))
            .fix("give more digits")
    }
}

/// An execution's id as it is printed.
pub(crate) fn show(id: &ExecutionId) -> String {
    Kind::Execution.show(id.uuid())
}

/// A flow's id as it is printed.
pub(crate) fn show_flow(id: &FlowId) -> String {
    Kind::Flow.show(id.0)
}

/// A waitpoint's id as it is printed.
pub(crate) fn show_waitpoint(id: &WaitpointId) -> String {
    Kind::Waitpoint.show(id.0)
}

/// A budget's id as it is printed.
pub(crate) fn show_budget(id: &BudgetId) -> String {
    Kind::Budget.show(id.0)
}

/// A quota's id as it is printed.
pub(crate) fn show_quota(id: &QuotaPolicyId) -> String {
    Kind::Quota.show(id.0)
}

/// The engine's sentence with its ids as they are printed: `budget <uuid>` becomes
/// `budget bud_<uuid>`, `{fp:N}:<uuid>` becomes `exe_<uuid>`.
pub(crate) fn readable(sentence: &str) -> String {
    let mut kind = None;
    let words = sentence.split(' ').map(|word| {
        let id = word.trim_end_matches([',', ':', ';', '.']);
        let shown = match (ExecutionId::parse(id), kind) {
            (Ok(execution), _) => Some(show(&execution)),
            (Err(_), Some(kind)) => Uuid::try_parse(id).ok().map(|uuid| Kind::show(kind, uuid)),
            (Err(_), None) => None,
        };
        kind = match word {
            "budget" => Some(Kind::Budget),
            "quota" => Some(Kind::Quota),
            "policy" => kind,
            "flow" => Some(Kind::Flow),
            "execution" => Some(Kind::Execution),
            _ => None,
        };
        shown.map_or_else(|| word.to_owned(), |shown| shown + &word[id.len()..])
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a user typed to name an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// The id with its partition.
    Whole(ExecutionId),
    /// The first digits of its UUID, lower case, without hyphens; possibly all of them.
    Prefix(String),
}

/// Reads `exe_…`, a UUID, a beginning of either, or `{fp:N}:<uuid>`.
pub(crate) fn parse(text: &str) -> Result<Named> {
    if text.starts_with('{') {
        return ExecutionId::parse(text).map(Named::Whole).map_err(|error| {
            Error::usage(format!("`{text}` is not an execution id"))
                .why(error.to_string())
                .fix("write it as exe_<uuid>, as `ff exec list` prints it")
        });
    }
    digits(Kind::Execution, text).map(Named::Prefix)
}

/// The digits of an id of this kind, or of the beginning of one.
pub(crate) fn digits(kind: Kind, text: &str) -> Result<String> {
    let rest = text.strip_prefix(kind.prefix()).unwrap_or(text);
    let digits: String =
        rest.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let malformed = digits.is_empty()
        || digits.len() > DIGITS
        || !digits.chars().all(|c| c.is_ascii_hexdigit())
        || rest.starts_with('-');
    if malformed {
        return Err(Error::usage(format!("`{text}` is not {} id", kind.noun()))
            .why(format!("an id is `{}` and a UUID, or the first digits of them", kind.prefix()))
            .fix(format!("`{}` prints the ids", kind.list())));
    }
    Ok(digits)
}

/// Whether the UUID begins with these digits.
pub(crate) fn begins(uuid: Uuid, digits: &str) -> bool {
    uuid.simple().to_string().starts_with(digits)
}

/// Finds the one execution that the text names.
pub(crate) async fn resolve(engine: &dyn EngineBackend, text: &str) -> Result<ExecutionId> {
    let digits = match parse(text)? {
        Named::Whole(id) => return Ok(id),
        Named::Prefix(digits) => digits,
    };
    let found = engine
        .resolve_execution_prefix(&digits)
        .await
        .map_err(|error| unsearchable(text, &error))?;
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Kind::Execution.not_found(text)),
        several => {
            let among: Vec<_> = several.iter().map(full).collect();
            Err(Kind::Execution
                .ambiguous(text, &among)
                .fix("give more digits, or the full form {fp:N}:<uuid>"))
        }
    }
}

/// Finds the one flow that the text names.
pub(crate) async fn resolve_flow(engine: &dyn EngineBackend, text: &str) -> Result<FlowId> {
    let digits = digits(Kind::Flow, text)?;
    let found =
        engine.resolve_flow_prefix(&digits).await.map_err(|error| unsearchable(text, &error))?;
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Kind::Flow.not_found(text)),
        several => {
            let among: Vec<_> = several.iter().map(show_flow).collect();
            Err(Kind::Flow.ambiguous(text, &among))
        }
    }
}

fn unsearchable(text: &str, error: &EngineError) -> Error {
    Error::engine(&format!("look up `{text}`"), error)
}

/// Finds the one budget that the text names: its name, which is the id of its scope, or its id.
pub(crate) async fn resolve_budget(engine: &dyn EngineBackend, text: &str) -> Result<BudgetId> {
    find_budget(engine, text).await.map(|budget| budget.budget_id)
}

/// As [`resolve_budget`], with all that is known of it.
pub(crate) async fn find_budget(engine: &dyn EngineBackend, text: &str) -> Result<BudgetOverview> {
    let digits = digits(Kind::Budget, text);
    let (mut by_name, mut by_id) = (Vec::new(), Vec::new());
    for budget in budgets(engine).await? {
        if budget.scope_id == text {
            by_name.push(budget);
        } else if digits.as_ref().is_ok_and(|digits| begins(budget.budget_id.0, digits)) {
            by_id.push(budget);
        }
    }
    // A name may look like the digits of another one's id.
    let mut found = if by_name.is_empty() { by_id } else { by_name };
    match found.len() {
        0 => Err(Error::new(
            Exit::NotFound,
            "not_found",
            format!("there is no budget `{text}`, by name or id"),
        )
        .fix("`ff budget list` shows what there is, `ff budget create` makes one")),
        1 => Ok(found.swap_remove(0)),
        _ => {
            let among: Vec<_> = found.iter().map(|budget| show_budget(&budget.budget_id)).collect();
            Err(Kind::Budget.ambiguous(text, &among).fix("name it by its id"))
        }
    }
}

/// Reads all budgets.
pub(crate) async fn budgets(engine: &dyn EngineBackend) -> Result<Vec<BudgetOverview>> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = engine
            .list_budgets(after, BUDGET_PAGE_MAX)
            .await
            .map_err(|error| Error::engine("list the budgets", &error))?;
        found.extend(page.budgets);
        match page.next_cursor {
            Some(cursor) => after = Some(cursor),
            None => return Ok(found),
        }
    }
}

/// Finds the one quota that the text names.
pub(crate) async fn find_quota(engine: &dyn EngineBackend, text: &str) -> Result<QuotaOverview> {
    let digits = digits(Kind::Quota, text)?;
    let mut found: Vec<_> = quotas(engine)
        .await?
        .into_iter()
        .filter(|quota| begins(quota.quota_policy_id.0, &digits))
        .collect();
    match found.len() {
        0 => Err(Kind::Quota.not_found(text)),
        1 => Ok(found.swap_remove(0)),
        _ => {
            let among: Vec<_> =
                found.iter().map(|quota| show_quota(&quota.quota_policy_id)).collect();
            Err(Kind::Quota.ambiguous(text, &among))
        }
    }
}

/// Reads all quotas.
pub(crate) async fn quotas(engine: &dyn EngineBackend) -> Result<Vec<QuotaOverview>> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = engine
            .list_quota_policies(after, BUDGET_PAGE_MAX)
            .await
            .map_err(|error| Error::engine("list the quotas", &error))?;
        found.extend(page.policies);
        match page.next_cursor {
            Some(cursor) => after = Some(cursor),
            None => return Ok(found),
        }
    }
}

/// Two ids may share a UUID and differ in their partition, so an ambiguity shows both.
fn full(id: &ExecutionId) -> String {
    format!("{} ({id})", show(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "018f2b6c-7a31-7c55-9d0e-3f1c2b4a5d6e";

    fn prefix(digits: &str) -> Result<Named> {
        Ok(Named::Prefix(digits.to_owned()))
    }

    #[test]
    fn every_spelling_of_an_id_is_understood() {
        let whole = UUID.replace('-', "");
        assert_eq!(parse(UUID), prefix(&whole));
        assert_eq!(parse(&format!("exe_{UUID}")), prefix(&whole));
        assert_eq!(parse(&format!("exe_{}", UUID.to_uppercase())), prefix(&whole));
        assert_eq!(parse("exe_018F2b6c-7"), prefix("018f2b6c7"));
        assert_eq!(parse("0"), prefix("0"));
        let full = format!("{{fp:7}}:{UUID}");
        assert_eq!(parse(&full), Ok(Named::Whole(ExecutionId::parse(&full).unwrap())));
        assert_eq!(digits(Kind::Flow, &format!("flo_{UUID}")), Ok(whole));
    }

    #[test]
    fn what_is_no_id_is_a_usage_error() {
        let long = format!("{UUID}0");
        for text in
            ["", "exe_", "flo_018f", "xyz", "-1", &long, "{fp:x}:1", "018f 2b6c", "exe_exe_0"]
        {
            assert_eq!(parse(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
        let error = digits(Kind::Flow, "exe_018f").unwrap_err();
        assert_eq!(error.what, "`exe_018f` is not a flow id");
    }

    #[test]
    fn an_id_is_printed_with_its_kind() {
        let id = ExecutionId::parse(&format!("{{fp:0}}:{UUID}")).unwrap();
        assert_eq!(show(&id), format!("exe_{UUID}"));
        assert_eq!(show_budget(&BudgetId::parse(UUID).unwrap()), format!("bud_{UUID}"));
    }

    #[test]
    fn the_ids_of_a_sentence_are_printed_with_their_kind() {
        for (sentence, shown) in [
            ("budget ID: `tokens` 1 of 1 spent", "budget bud_ID: `tokens` 1 of 1 spent"),
            ("quota policy ID does not exist", "quota policy quo_ID does not exist"),
            ("quota ID has room", "quota quo_ID has room"),
            ("waits for {fp:3}:ID, which is active", "waits for exe_ID, which is active"),
            ("lane ID and the budget", "lane ID and the budget"),
            ("", ""),
        ] {
            assert_eq!(readable(&sentence.replace("ID", UUID)), shown.replace("ID", UUID));
        }
    }

    #[test]
    fn digits_are_compared_without_hyphens() {
        let uuid = Uuid::parse_str(UUID).unwrap();
        assert!(begins(uuid, "018f2b6c7a31") && !begins(uuid, "018f2b6c7a32"));
    }
}
