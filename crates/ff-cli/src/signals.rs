//! The signals of a resumed attempt, as a command reads them.

use std::io::{self, Write as _};
use std::path::Path;

use ff_core::backend::ResumeSignal;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use crate::output::put_bytes;

/// A signal as JSON: who said what, and when.
fn json(signal: &ResumeSignal) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(signal.signal_name));
    object.insert("by".to_owned(), json!(signal.source_identity));
    object.insert("source_type".to_owned(), json!(signal.source_type));
    object.insert("category".to_owned(), json!(signal.signal_category));
    object.insert("at".to_owned(), json!(signal.accepted_at));
    object.insert("id".to_owned(), json!(signal.signal_id));
    if !signal.correlation_id.is_empty() {
        object.insert("correlation_id".to_owned(), json!(signal.correlation_id));
    }
    if let Some(payload) = &signal.payload {
        put_bytes(&mut object, "payload", payload);
    }
    object.into()
}

/// Signals as one JSON list, in the order of their arrival.
pub(crate) fn list(signals: &[ResumeSignal]) -> Value {
    let mut signals: Vec<_> = signals.iter().collect();
    signals.sort_by_key(|signal| (signal.accepted_at, signal.signal_id.0));
    signals.into_iter().map(json).collect()
}

/// A file that only this user can read, and that is gone when the value is.
#[derive(Debug)]
pub(crate) struct SignalsFile(NamedTempFile);

impl SignalsFile {
    /// Writes the signals as one JSON list.
    pub(crate) fn write(signals: &[ResumeSignal]) -> io::Result<Self> {
        let mut file = tempfile::Builder::new().prefix("ff-signals-").suffix(".json").tempfile()?;
        file.write_all(list(signals).to_string().as_bytes())?;
        file.flush()?;
        Ok(Self(file))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ff_core::types::{SignalId, TimestampMs};

    use super::*;

    fn signal(payload: Option<&[u8]>) -> ResumeSignal {
        ResumeSignal {
            signal_id: SignalId::new(),
            signal_name: "approved".to_owned(),
            signal_category: "approval".to_owned(),
            source_type: "operator".to_owned(),
            source_identity: "ada".to_owned(),
            correlation_id: String::new(),
            accepted_at: TimestampMs(5),
            payload: payload.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn a_signals_file_is_private_and_goes_with_its_value() {
        let file =
            SignalsFile::write(&[signal(Some(b"{\"message\":\"go\"}")), signal(None)]).unwrap();
        let path = file.path().to_owned();

        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let list: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&list[0]["name"], &list[0]["by"]), (&json!("approved"), &json!("ada")));
        assert_eq!(list[0]["payload"]["message"], "go");
        assert!(list[1].get("payload").is_none());
        drop(file);
        assert!(!path.exists());
    }
}
