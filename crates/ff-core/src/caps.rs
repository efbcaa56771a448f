//! Whether a worker's capabilities are enough for an execution: a subset test.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::collections::BTreeSet;

use crate::backend::CapabilitySet;

/// The capabilities an execution demands, without empty tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapabilityRequirement {
    pub tokens: BTreeSet<String>,
}

impl CapabilityRequirement {
    /// Collects the tokens and drops empty ones.
    #[must_use]
    pub fn new<I, S>(tokens: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self { tokens: tokens.into_iter().map(Into::into).filter(|t| !t.is_empty()).collect() }
    }

    /// Reads `a,b,c`; blanks belong to a token, nothing between two commas does not count.
    #[must_use]
    pub fn from_csv(csv: &str) -> Self {
        Self::new(csv.split(','))
    }

    /// Whether any worker will do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// Whether `offered` has every required token; an empty requirement always matches.
///
/// ```
/// use ff_core::backend::CapabilitySet;
/// use ff_core::caps::{CapabilityRequirement, matches};
///
/// let offered = CapabilitySet::new(["gpu", "eu"]);
/// assert!(matches(&CapabilityRequirement::from_csv("gpu"), &offered));
/// assert!(!matches(&CapabilityRequirement::from_csv("gpu,us"), &offered));
/// ```
#[must_use]
pub fn matches(required: &CapabilityRequirement, offered: &CapabilitySet) -> bool {
    required.tokens.iter().all(|token| offered.tokens.contains(token))
}

/// Like [`matches()`] for a requirement stored as CSV, without building a set.
///
/// ```
/// use ff_core::caps::matches_csv;
///
/// let offered = ["eu".to_owned(), "gpu".to_owned()].into();
/// assert!(matches_csv("gpu,,eu", &offered));
/// assert!(!matches_csv("us", &offered));
/// ```
#[must_use]
pub fn matches_csv(required: &str, offered: &BTreeSet<String>) -> bool {
    required.split(',').filter(|token| !token.is_empty()).all(|token| offered.contains(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tokens_do_not_count() {
        assert!(CapabilityRequirement::from_csv("").is_empty());
        assert!(CapabilityRequirement::from_csv(",,").is_empty());
        assert!(CapabilityRequirement::new::<_, &str>([]).is_empty());
        assert_eq!(
            CapabilityRequirement::from_csv("b,,a,b"),
            CapabilityRequirement::new(["a", "", "b"])
        );
    }

    #[test]
    fn a_worker_needs_every_token_and_may_have_more() {
        for (required, offered, enough) in [
            ("", "", true),
            ("", "a", true),
            ("a", "", false),
            ("a", "a", true),
            ("a", "a,b", true),
            ("a,b", "a", false),
            ("a", "A", false),
            ("a", "ab", false),
            (" a", "a", false),
        ] {
            let set = CapabilitySet::new(offered.split(','));
            assert_eq!(matches(&CapabilityRequirement::from_csv(required), &set), enough);
            let set = offered.split(',').map(str::to_owned).collect();
            assert_eq!(matches_csv(required, &set), enough, "{required:?} of {offered:?}");
        }
    }
}
