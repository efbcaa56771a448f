//! How a caller should take an error, whatever it says.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use serde::{Deserialize, Serialize};

/// Tells a caller what to do next: give up, try again, yield, or carry on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    Terminal,
    Retryable,
    Cooperative,
    Informational,
    Advisory,
    Bug,
    Expected,
    SoftError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_travel_in_snake_case() {
        assert_eq!(serde_json::to_string(&ErrorClass::SoftError).unwrap(), "\"soft_error\"");
        assert_eq!(serde_json::from_str::<ErrorClass>("\"bug\"").unwrap(), ErrorClass::Bug);
        assert!(serde_json::from_str::<ErrorClass>("\"Bug\"").is_err());
    }
}
