//! `raw_fields`: the document that tools of the 0.15 contract look into, as it is read and as it is written.

use std::collections::BTreeMap;
use std::fmt;

use ff_core::machine::rows::{Attempt, Execution};
use ff_core::types::{WorkerId, WorkerInstanceId};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outcome_word;

/// The same members twice: for a document with no others, and for any document.
macro_rules! execution_fields {
    ($($name:ident: $type:ty,)+) => {
        /// The members of `ff_exec_core.raw_fields` that the engine reads. It passes over all others.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub(super) struct ExecutionFields {
            $(pub(super) $name: $type,)+
            /// Whether there are others.
            #[serde(skip, default = "yes")]
            has_others: bool,
        }

        /// As [`ExecutionFields`], and refuses others.
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct OnlyExecutionFields {
            $($name: $type,)+
            #[serde(rename = "total_attempt_count")]
            _total_attempt_count: IgnoredAny,
            #[serde(rename = "current_worker_id")]
            _current_worker_id: IgnoredAny,
            #[serde(rename = "current_worker_instance_id")]
            _current_worker_instance_id: IgnoredAny,
        }

        impl From<OnlyExecutionFields> for ExecutionFields {
            fn from(fields: OnlyExecutionFields) -> Self {
                Self { $($name: fields.$name,)+ has_others: false }
            }
        }
    };
}

execution_fields! {
    namespace: Option<String>,
    execution_kind: Option<String>,
    creator_identity: Option<String>,
    idempotency_key: Option<String>,
    payload_encoding: Option<String>,
    last_mutation_at: Number,
    tags: Tags,
    progress_pct: Number,
    progress_message: Option<String>,
    failure_reason: Option<String>,
    retry_count: Number,
    replay_count: Number,
    terminal_outcome: Option<String>,
    current_attempt_id: Id,
    current_lease_id: Id,
    delay_until: Number,
    blocking_detail: Option<String>,
}

fn yes() -> bool {
    true
}

impl ExecutionFields {
    /// Reads a document once; one with members that the engine does not know, twice.
    pub(super) fn read(json: &str) -> serde_json::Result<Self> {
        match serde_json::from_str::<OnlyExecutionFields>(json) {
            Ok(fields) => Ok(fields.into()),
            Err(_) => serde_json::from_str(json),
        }
    }

    /// Whether the engine could have written it.
    pub(super) fn is_plain(&self) -> bool {
        !self.has_others
            && self.tags.is_plain
            && self.namespace.is_some()
            && self.execution_kind.is_some()
            && self.creator_identity.is_some()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AttemptFields {
    pub(super) attempt_id: Id,
    pub(super) lease_id: Id,
    pub(super) attempt_type: Option<String>,
}

/// A whole number, as a JSON number or as text; the empty text is none.
#[derive(Clone, Copy, Default)]
pub(super) struct Number(pub(super) Option<i64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                i64::try_from(number).map(|number| Number(Some(number))).map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Number, E> {
                // `50.0` prints as `50`: what has a fraction does not read back as a whole number.
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "" => Ok(Number(None)),
                    _ => text
                        .parse()
                        .map(|number| Number(Some(number)))
                        .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// A UUID in text; anything else counts as unknown.
#[derive(Default)]
pub(super) struct Id(pub(super) Option<Uuid>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(Uuid::parse_str(text).ok()))
            }

            fn visit_unit<E>(self) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Id, E> {
                Ok(Id(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Id(None))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// Tags; a value that is a number or a flag is read as its text.
pub(super) struct Tags {
    pub(super) tags: BTreeMap<String, String>,
    /// Whether all values are text.
    is_plain: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self { tags: BTreeMap::new(), is_plain: true }
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut tags, mut is_plain) = (BTreeMap::new(), true);
        let stored = Option::<BTreeMap<String, serde_json::Value>>::deserialize(deserializer)?;
        for (key, value) in stored.unwrap_or_default() {
            is_plain &= value.is_string();
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                serde_json::Value::Bool(flag) => flag.to_string(),
                serde_json::Value::Null => continue,
                serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                    return Err(D::Error::custom(format_args!("the tag `{key}` is not text")));
                }
            };
            tags.insert(key, text);
        }
        Ok(Self { tags, is_plain })
    }
}

/// The members of `ff_exec_core.raw_fields` that a write sets: the whole document, or a merge patch (RFC 7396). What is null leaves the document, what is not there stays as it is.
#[derive(Serialize)]
struct FieldsPatch<'a> {
    #[serde(flatten)]
    born: Option<Born<'a>>,
    last_mutation_at: Text<i64>,
    total_attempt_count: Text<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Member::stays")]
    progress_pct: Member<u8>,
    #[serde(skip_serializing_if = "Member::stays")]
    progress_message: Member<&'a str>,
    #[serde(skip_serializing_if = "Member::stays")]
    failure_reason: Member<&'a str>,
    #[serde(skip_serializing_if = "Member::stays")]
    retry_count: Member<Text<u32>>,
    #[serde(skip_serializing_if = "Member::stays")]
    replay_count: Member<u32>,
    #[serde(skip_serializing_if = "Member::stays")]
    terminal_outcome: Member<&'static str>,
    #[serde(skip_serializing_if = "Member::stays")]
    delay_until: Member<Text<i64>>,
    #[serde(skip_serializing_if = "Member::stays")]
    blocking_detail: Member<&'a str>,
    #[serde(flatten)]
    current: Option<Current<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Member<T> {
    Stays,
    /// `None` removes it.
    Becomes(Option<T>),
}

impl<T> Member<T> {
    /// In a whole document nothing needs to be removed.
    fn of(value: Option<T>, is_whole: bool) -> Self {
        if is_whole && value.is_none() { Self::Stays } else { Self::Becomes(value) }
    }

    fn stays(&self) -> bool {
        matches!(self, Self::Stays)
    }
}

/// What a create writes once and for all.
#[derive(Serialize)]
struct Born<'a> {
    namespace: &'a str,
    execution_kind: &'a str,
    creator_identity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_encoding: Option<&'a str>,
}

/// The current attempt, for tools that look for it here.
#[derive(Serialize)]
struct Current<'a> {
    #[serde(skip_serializing_if = "Member::stays")]
    current_attempt_id: Member<Uuid>,
    #[serde(skip_serializing_if = "Member::stays")]
    current_lease_id: Member<Uuid>,
    #[serde(skip_serializing_if = "Member::stays")]
    current_worker_id: Member<&'a str>,
    #[serde(skip_serializing_if = "Member::stays")]
    current_worker_instance_id: Member<&'a str>,
}

impl<'a> Current<'a> {
    fn of(execution: &Execution, attempt: &'a Attempt, is_whole: bool) -> Self {
        let held = execution.is_leased();
        let lease = attempt.lease_id.as_ref().filter(|_| held);
        let worker = attempt.worker_id.as_ref().filter(|_| held);
        let instance = attempt.worker_instance_id.as_ref().filter(|_| held);
        Self {
            current_attempt_id: Member::of(attempt.attempt_id.as_ref().map(|id| id.0), is_whole),
            current_lease_id: Member::of(lease.map(|id| id.0), is_whole),
            current_worker_id: Member::of(worker.map(WorkerId::as_str), is_whole),
            current_worker_instance_id: Member::of(
                instance.map(WorkerInstanceId::as_str),
                is_whole,
            ),
        }
    }
}

/// A number that readers expect as text.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The whole `raw_fields` of an execution, with its current attempt if it has one.
pub(crate) fn whole_fields(execution: &Execution, attempt: Option<&Attempt>) -> String {
    fields(execution, attempt, true)
}

/// The merge patch that brings `raw_fields` to the state of `execution`. `attempt` is its current attempt, if that
/// changes too.
pub(crate) fn fields_patch(execution: &Execution, attempt: Option<&Attempt>) -> String {
    fields(execution, attempt, false)
}

fn fields(execution: &Execution, attempt: Option<&Attempt>, is_whole: bool) -> String {
    let retries = (execution.retry_count > 0).then_some(Text(execution.retry_count));
    let replays = (execution.replay_count > 0).then_some(execution.replay_count);
    let document = FieldsPatch {
        born: is_whole.then(|| Born {
            namespace: execution.namespace.as_str(),
            execution_kind: &execution.kind,
            creator_identity: &execution.creator,
            idempotency_key: execution.idempotency_key.as_deref(),
            payload_encoding: execution.payload_encoding.as_deref(),
        }),
        last_mutation_at: Text(execution.mutated_at.0),
        total_attempt_count: Text(execution.attempt_count),
        tags: &execution.tags,
        progress_pct: Member::of(execution.progress_pct, is_whole),
        progress_message: Member::of(execution.progress_message.as_deref(), is_whole),
        failure_reason: Member::of(execution.failure_reason.as_deref(), is_whole),
        retry_count: Member::of(retries, is_whole),
        replay_count: Member::of(replays, is_whole),
        terminal_outcome: Member::of(outcome_word(execution.state.terminal_outcome), is_whole),
        delay_until: Member::of(execution.eligible_at.map(|at| Text(at.0)), is_whole),
        blocking_detail: Member::of(execution.blocking_detail.as_deref(), is_whole),
        current: attempt.map(|attempt| Current::of(execution, attempt, is_whole)),
    };
    let mut json = Vec::with_capacity(FIELDS_BYTES);
    serde_json::to_writer(&mut json, &document).expect("text, numbers and null are always JSON");
    String::from_utf8(json).expect("JSON is text")
}

/// Room for the usual document, so that it is written without growing.
const FIELDS_BYTES: usize = 512;
