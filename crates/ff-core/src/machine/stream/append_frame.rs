//! Appending a frame: the lease holder writes to its attempt's stream.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::rows::{Class, Frame, FrameId, Meta, Summary};
use super::{Wanted, Write, patch, retention};
use crate::EngineError;
use crate::backend::{self, AppendFrameOutcome, StreamMode};
use crate::engine_error::{StateKind, ValidationKind};
use crate::machine::limits::{
    FRAME_MAX_BYTES, IDENTIFIER_MAX_BYTES, NAME_MAX_BYTES, SUMMARY_MAX_BYTES,
};
use crate::machine::rows::{Attempt, Execution};
use crate::machine::{Change, Command, Context, Fence, Footprint, Snapshot, Transition};
use crate::types::{ExecutionId, TimestampMs};

/// Appends one frame to the stream of the attempt that the fence holds. A repeat appends again.
///
/// Refused, in this order: a frame, type or correlation id over its limit; an attempt that does
/// not run, with `State(StreamClosed)`; a proof that is not the live lease's, with
/// `State(StaleOwnerCannotAppend)`; a patch that is none, is nested too deep, or makes the summary
/// too large.
///
/// Bytes that are UTF-8 are stored as text, others as base64 with the encoding `base64`.
#[derive(Debug, Clone)]
pub struct AppendFrame {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// What to append.
    pub frame: backend::Frame,
}

impl Command for AppendFrame {
    const NAME: &'static str = "stream.append_frame";
    type Outcome = AppendFrameOutcome;

    fn footprint(&self) -> Footprint {
        let index = self.fence.index();
        let is_patch = Class::of(self.frame.mode) == Class::Summary;
        let mut footprint = Footprint::execution(&self.execution_id).with_attempt(index);
        footprint.stream = Wanted { meta: Some(index), summary: is_patch.then_some(index) };
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<AppendFrameOutcome>, EngineError> {
        self.check_limits()?;
        let (execution, attempt) = self.owned(seen, cx.now)?;
        let mut fields = self.fields();
        let summary = match self.frame.mode {
            StreamMode::DurableSummary { .. } => Some(self.merged(seen, attempt, cx.now)?),
            StreamMode::Durable | StreamMode::BestEffortLive { .. } => None,
        };
        let version = summary.as_ref().map(|summary| summary.version);
        if let Some(version) = version {
            fields.insert("summary_version".to_owned(), version.to_string());
        }

        let mut transition = Transition::unchanged(());
        let known = seen.stream.meta.clone();
        let mut meta = known.unwrap_or_else(|| Meta::new(execution.id.clone(), attempt.index));
        let trim = |class, count| {
            let (execution_id, attempt_index) = (execution.id.clone(), attempt.index);
            Change::Stream(Write::TrimFrames { execution_id, attempt_index, class, count })
        };
        if meta.has_expired(cx.now) && meta.best_effort_kept > 0 {
            transition = transition.change(trim(Class::BestEffort, meta.best_effort_kept));
            meta.best_effort_kept = 0;
        }
        let gone = retention::count(&mut meta, self.frame.mode, execution, cx.now)?;
        meta.frame_count += 1;
        meta.total_bytes = meta.total_bytes.saturating_add(self.frame.bytes.len() as u64);
        let id = FrameId::next(meta.last, cx.now);
        meta.last = Some(id);
        let outcome = AppendFrameOutcome {
            stream_id: id.to_string(),
            frame_count: meta.frame_count,
            summary_version: version,
        };

        let class = Class::of(self.frame.mode);
        let frame = Frame {
            execution_id: execution.id.clone(),
            attempt_index: attempt.index,
            id,
            number: meta.frame_count,
            epoch: execution.epoch,
            class,
            fields,
        };
        transition = transition.change(Change::Stream(Write::AddFrame(Box::new(frame))));
        if gone > 0 {
            transition = transition.change(trim(class, gone));
        }
        if let Some(summary) = summary {
            transition = transition.change(Change::Stream(Write::PutSummary(Box::new(summary))));
        }
        Ok(transition.change(Change::Stream(Write::PutMeta(Box::new(meta)))).answer(outcome))
    }

    fn weight(&self) -> usize {
        self.frame.bytes.len()
    }
}

impl AppendFrame {
    fn check_limits(&self) -> Result<(), EngineError> {
        let bytes = self.frame.bytes.len();
        if bytes > FRAME_MAX_BYTES {
            return Err(EngineError::Validation {
                kind: ValidationKind::RetentionLimitExceeded,
                detail: format!(
                    "the frame has {bytes} bytes; a frame holds at most {FRAME_MAX_BYTES}. Send \
                     it in pieces"
                ),
            });
        }
        let correlation_id = self.frame.correlation_id.as_deref().unwrap_or_default();
        for (what, text, most) in [
            ("frame_type", self.frame.frame_type.as_str(), NAME_MAX_BYTES),
            ("correlation_id", correlation_id, IDENTIFIER_MAX_BYTES),
        ] {
            if text.len() > most {
                return Err(EngineError::Validation {
                    kind: ValidationKind::InvalidInput,
                    detail: format!("{what} has {} bytes; at most {most}", text.len()),
                });
            }
        }
        Ok(())
    }

    /// The fence, under the names that the contract gives to a stream's refusals.
    fn owned<'a>(
        &self,
        seen: &'a Snapshot,
        now: TimestampMs,
    ) -> Result<(&'a Execution, &'a Attempt), EngineError> {
        self.fence.check(seen, now).map_err(|refused| match refused {
            EngineError::NotFound { entity: "execution" } => {
                EngineError::State(StateKind::StreamClosed)
            }
            EngineError::Contention(crate::engine_error::ContentionKind::ExecutionNotActive {
                ..
            }) => EngineError::State(StateKind::StreamClosed),
            EngineError::Contention(_) | EngineError::State(_) => {
                EngineError::State(StateKind::StaleOwnerCannotAppend)
            }
            other => other,
        })
    }

    fn fields(&self) -> BTreeMap<String, String> {
        let frame = &self.frame;
        let frame_type = match frame.frame_type.as_str() {
            "" => frame.kind.as_str(),
            given => given,
        };
        let (payload, encoding) = match std::str::from_utf8(&frame.bytes) {
            Ok(text) => (text.to_owned(), "utf8"),
            Err(_) => (STANDARD.encode(&frame.bytes), "base64"),
        };
        let mut fields: BTreeMap<String, String> = [
            ("frame_type".to_owned(), frame_type.to_owned()),
            ("payload".to_owned(), payload),
            ("encoding".to_owned(), encoding.to_owned()),
            ("source".to_owned(), "worker".to_owned()),
        ]
        .into();
        if let Some(correlation_id) = &frame.correlation_id {
            fields.insert("correlation_id".to_owned(), correlation_id.clone());
        }
        if let Some(seq) = frame.seq {
            fields.insert("seq".to_owned(), seq.to_string());
        }
        match frame.mode {
            StreamMode::Durable => {}
            StreamMode::DurableSummary { .. } => {
                fields.insert("mode".to_owned(), frame.mode.wire_str().to_owned());
            }
            StreamMode::BestEffortLive { config } => {
                fields.insert("mode".to_owned(), frame.mode.wire_str().to_owned());
                fields.insert("ttl_ms".to_owned(), config.ttl_ms.to_string());
            }
        }
        fields
    }

    /// The summary with this frame's patch merged in.
    fn merged(
        &self,
        seen: &Snapshot,
        attempt: &Attempt,
        now: TimestampMs,
    ) -> Result<Summary, EngineError> {
        let patch = patch::read(&self.frame.bytes)?;
        let before = seen.stream.summary.as_ref();
        let document = match before {
            None => serde_json::Value::Null,
            Some(before) => {
                serde_json::from_str(&before.document).map_err(|error| EngineError::Validation {
                    kind: ValidationKind::Corruption,
                    detail: format!(
                        "ff_stream_summary.document_json: not JSON ({error}); execution {}, \
                         attempt {}",
                        self.execution_id, attempt.index
                    ),
                })?
            }
        };
        let document = patch::merge(document, patch).to_string();
        if document.len() > SUMMARY_MAX_BYTES {
            return Err(EngineError::Validation {
                kind: ValidationKind::RetentionLimitExceeded,
                detail: format!(
                    "the summary would have {} bytes; at most {SUMMARY_MAX_BYTES}. Remove keys \
                     with a null first",
                    document.len()
                ),
            });
        }
        Ok(Summary {
            execution_id: self.execution_id.clone(),
            attempt_index: attempt.index,
            document,
            version: before.map_or(1, |before| before.version + 1),
            updated_at: now,
            first_applied_at: before.map_or(now, |before| before.first_applied_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BestEffortLiveConfig, FrameKind};
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, ended, execution, handle_of, interrupted, lapsed, now_plus,
        refusal, revoked, running, seen, seen_pair, stale_handle,
    };
    use crate::machine::rows::AttemptOutcome;
    use crate::state::TerminalOutcome;

    fn append(frame: backend::Frame) -> AppendFrame {
        let fence = handle_of(&running(LEASE_END).1);
        AppendFrame { execution_id: execution().id, fence, frame }
    }

    fn text(text: &str) -> backend::Frame {
        backend::Frame::new(text.as_bytes().to_vec(), FrameKind::Stdout)
    }

    fn patch(json: &str) -> backend::Frame {
        text(json).with_mode(StreamMode::durable_summary())
    }

    fn told(command: &AppendFrame, seen: &Snapshot) -> String {
        refusal(decide(command, seen))
    }

    fn writes<T>(transition: &Transition<T>) -> Vec<&Write> {
        let mut writes = Vec::new();
        for change in &transition.changes {
            match change {
                Change::Stream(write) => writes.push(write),
                other => panic!("an append writes stream rows only, not {other:?}"),
            }
        }
        writes
    }

    fn stored(command: &AppendFrame, seen: &Snapshot) -> (Frame, Meta) {
        let done = decide(command, seen).unwrap();
        assert!(done.events.is_empty(), "a frame is no event");
        let writes = writes(&done);
        let frame = writes.iter().find_map(|write| match write {
            Write::AddFrame(frame) => Some((**frame).clone()),
            _ => None,
        });
        let Some(Write::PutMeta(meta)) = writes.last() else { panic!("the counters come last") };
        (frame.expect("a frame is added"), (**meta).clone())
    }

    fn summary(document: &str, version: u64) -> Snapshot {
        let mut seen = seen_pair(running(LEASE_END));
        let (execution_id, attempt_index) = (execution().id, crate::types::AttemptIndex(0));
        seen.stream.summary = Some(Summary {
            execution_id,
            attempt_index,
            document: document.to_owned(),
            version,
            updated_at: now_plus(-5),
            first_applied_at: now_plus(-9),
        });
        seen
    }

    #[test]
    fn a_frame_lands_behind_the_last_one_and_is_counted() {
        let mut seen = seen_pair(running(LEASE_END));
        let (first, meta) = stored(&append(text("a")), &seen);
        assert_eq!((first.id, first.number), (FrameId { ms: NOW, seq: 0 }, 1));
        assert_eq!((meta.frame_count, meta.total_bytes, meta.durable_kept), (1, 1, 1));
        assert_eq!(first.epoch, running(LEASE_END).0.epoch);

        seen.stream.meta = Some(meta);
        let (second, meta) = stored(&append(text("bcd")), &seen);
        assert_eq!((second.id, second.number), (FrameId { ms: NOW, seq: 1 }, 2));
        assert_eq!((meta.frame_count, meta.total_bytes), (2, 4));
        let outcome = decide(&append(text("x")), &seen).unwrap().outcome;
        let expected = AppendFrameOutcome::new(format!("{}-1", NOW.0), 2);
        assert_eq!(outcome, expected);
    }

    #[test]
    fn a_frame_says_what_it_is() {
        let seen = seen_pair(running(LEASE_END));
        let fields = |frame| stored(&append(frame), &seen).0.fields;
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let plain = [
            ("frame_type", "stdout"),
            ("payload", "hi"),
            ("encoding", "utf8"),
            ("source", "worker"),
        ];
        assert_eq!(fields(text("hi")), of(&plain));

        let mut given = backend::Frame::with_seq(b"hi".to_vec(), FrameKind::Event, 7)
            .with_frame_type("step")
            .with_correlation_id("c-1");
        let more = [("frame_type", "step"), ("correlation_id", "c-1"), ("seq", "7")];
        assert_eq!(fields(given.clone()), of(&[&plain[..], &more].concat()));

        given.mode = StreamMode::best_effort_live_with_config(BestEffortLiveConfig::new(500));
        let live = fields(given);
        assert_eq!((live["mode"].as_str(), live["ttl_ms"].as_str()), ("best_effort", "500"));
    }

    #[test]
    fn bytes_that_are_no_text_are_marked() {
        let seen = seen_pair(running(LEASE_END));
        for (bytes, payload, encoding) in [
            (&b""[..], "", "utf8"),
            (b"a\0b", "a\0b", "utf8"),
            ("é€🦀".as_bytes(), "é€🦀", "utf8"),
            (b"\xff\xfe", "//4=", "base64"),
            (b"a\xff", "Yf8=", "base64"),
        ] {
            let frame = backend::Frame::new(bytes.to_vec(), FrameKind::Blob);
            let (frame, meta) = stored(&append(frame), &seen);
            assert_eq!(frame.fields["payload"], payload);
            assert_eq!(frame.fields["encoding"], encoding);
            assert_eq!(meta.total_bytes, bytes.len() as u64);
        }
    }

    #[test]
    fn limits_hold_exactly_and_before_anything_else() {
        let seen = seen_pair(running(LEASE_END));
        let sized = |bytes: usize| backend::Frame::new(vec![b'x'; bytes], FrameKind::Blob);
        assert!(decide(&append(sized(65_536)), &seen).is_ok());
        assert_eq!(
            told(&append(sized(65_537)), &Snapshot::default()),
            "validation: RetentionLimitExceeded: the frame has 65537 bytes; a frame holds at most \
             65536. Send it in pieces"
        );
        assert!(decide(&append(sized(1).with_frame_type("t".repeat(128))), &seen).is_ok());
        let long = append(sized(1).with_frame_type("t".repeat(129)));
        assert_eq!(
            told(&long, &Snapshot::default()),
            "validation: InvalidInput: frame_type has 129 bytes; at most 128"
        );
        assert!(decide(&append(sized(1).with_correlation_id("c".repeat(256))), &seen).is_ok());
        let long = append(sized(1).with_correlation_id("c".repeat(257)));
        assert_eq!(
            told(&long, &Snapshot::default()),
            "validation: InvalidInput: correlation_id has 257 bytes; at most 256"
        );
    }

    #[test]
    fn a_stream_that_is_not_running_is_closed() {
        let completed = ended(TerminalOutcome::Success, AttemptOutcome::Success);
        for seen in [
            Snapshot::default(),
            seen(execution(), None),
            seen_pair(interrupted()),
            seen_pair(completed),
        ] {
            assert_eq!(told(&append(text("x")), &seen), "state: StreamClosed");
        }
    }

    #[test]
    fn only_the_live_lease_may_append() {
        let stale = AppendFrame { fence: stale_handle(), ..append(text("x")) };
        assert_eq!(told(&stale, &seen_pair(running(LEASE_END))), "state: StaleOwnerCannotAppend");
        for pair in [running(NOW), lapsed(), revoked()] {
            let told = told(&append(text("x")), &seen_pair(pair));
            assert_eq!(told, "state: StaleOwnerCannotAppend");
        }
        assert!(decide(&append(text("x")), &seen_pair(running(now_plus(1)))).is_ok());
    }

    #[test]
    fn a_patch_makes_and_moves_the_summary() {
        let first = decide(&append(patch(r#"{"a": 1}"#)), &seen_pair(running(LEASE_END))).unwrap();
        assert_eq!(first.outcome.summary_version, Some(1));
        let later = decide(&append(patch(r#"{"b": 2}"#)), &summary(r#"{"a":1}"#, 4)).unwrap();

        assert_eq!(later.outcome.summary_version, Some(5));
        let put = writes(&later).into_iter().find_map(|write| match write {
            Write::PutSummary(summary) => Some(summary),
            _ => None,
        });
        let put = put.expect("the document is written");
        assert_eq!((put.document.as_str(), put.version), (r#"{"a":1,"b":2}"#, 5));
        assert_eq!((put.updated_at, put.first_applied_at), (NOW, now_plus(-9)));
        let (frame, _) = stored(&append(patch(r#"{"b": 2}"#)), &summary("{}", 4));
        assert_eq!(frame.fields["payload"], r#"{"b": 2}"#, "the frame keeps the patch");
        assert_eq!(frame.fields["summary_version"], "5");
        assert_eq!(frame.fields["mode"], "summary");
    }

    #[test]
    fn a_patch_is_looked_at_after_the_lease() {
        let bad = append(patch("{"));
        assert_eq!(
            told(&bad, &seen_pair(running(LEASE_END))),
            "validation: InvalidInput: patch payload is not valid JSON"
        );
        assert_eq!(told(&bad, &seen_pair(revoked())), "state: StaleOwnerCannotAppend");
    }

    #[test]
    fn a_document_that_is_no_json_is_named() {
        let told = told(&append(patch("{}")), &summary("{", 1));
        assert!(told.starts_with("validation: Corruption: ff_stream_summary.document_json"));
    }

    #[test]
    fn a_summary_ends_at_its_limit() {
        let filled = |bytes: usize| summary(&format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)), 1);
        // Braces, quotes, keys, comma and the new member take 14 bytes.
        let fits = filled(SUMMARY_MAX_BYTES - 14);
        assert!(decide(&append(patch(r#"{"b": 2}"#)), &fits).is_ok());
        let full = told(&append(patch(r#"{"b": 2}"#)), &filled(SUMMARY_MAX_BYTES - 13));
        assert!(
            full.contains("RetentionLimitExceeded: the summary would have 262145 bytes"),
            "{full}"
        );
    }

    #[test]
    fn what_has_expired_goes_before_the_next_frame_comes() {
        let live = || text("x").with_mode(StreamMode::best_effort_live(500));
        let mut seen = seen_pair(running(LEASE_END));
        let (_, mut meta) = stored(&append(live()), &seen);
        meta.expires_at = Some(NOW);
        meta.best_effort_kept = 9;
        seen.stream.meta = Some(meta);

        let done = decide(&append(text("y")), &seen).unwrap();

        let writes = writes(&done);
        let Write::TrimFrames { class: Class::BestEffort, count: 9, .. } = writes[0] else {
            panic!("the old ones go first: {writes:?}")
        };
        let Some(Write::PutMeta(meta)) = writes.last() else { panic!("the counters come last") };
        assert_eq!((meta.best_effort_kept, meta.durable_kept, meta.expires_at), (0, 1, None));
    }
}
