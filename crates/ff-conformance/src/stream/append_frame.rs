//! Appending: fenced, counted, bounded, and kept as long as its mode says.

use ff_core::backend::{BackendTag, Frame, FrameKind, StreamMode};
use ff_core::engine_error::{StateKind, ValidationKind};
use ff_core::policy::{ExecutionPolicy, StreamPolicy};
use futures_util::future::join_all;

use super::{append, ids, live, patch, payloads, stream_of, text, try_append};
use crate::harness::{Bench, Refusal};

pub async fn a_frame_is_appended_and_counted(bench: &Bench) {
    let held = bench.claimed().await;

    let first = append(bench, &held, text("one")).await;
    let second = append(bench, &held, text("two")).await;

    assert_eq!((first.frame_count, second.frame_count), (1, 2));
    assert_eq!(first.stream_id, format!("{}-0", bench.now().0));
    assert_eq!(second.stream_id, format!("{}-1", bench.now().0));
    assert_eq!((first.summary_version, second.summary_version), (None, None));
    let stream = stream_of(bench, held.execution(), 0).await;
    assert_eq!(payloads(&stream), ["one", "two"]);
    assert_eq!(ids(&stream), [first.stream_id, second.stream_id]);
    assert!(!stream.is_closed());
}

pub async fn ids_rise_with_time_and_within_an_instant(bench: &Bench) {
    let held = bench.claimed().await;
    for _ in 0..3 {
        append(bench, &held, text("x")).await;
        append(bench, &held, text("x")).await;
        bench.advance(1);
    }

    let stream = stream_of(bench, held.execution(), 0).await;

    let places: Vec<(i64, u64)> = ids(&stream)
        .into_iter()
        .map(|id| id.split_once('-').unwrap())
        .map(|(ms, seq)| (ms.parse().unwrap(), seq.parse().unwrap()))
        .collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    assert_eq!(places.iter().map(|(_, seq)| *seq).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
}

pub async fn a_frame_says_what_it_is(bench: &Bench) {
    let held = bench.claimed().await;
    let frame = Frame::with_seq(b"step 1".to_vec(), FrameKind::Event, 41)
        .with_frame_type("step")
        .with_correlation_id("c-1");
    append(bench, &held, frame).await;
    append(bench, &held, Frame::new(Vec::new(), FrameKind::Stderr)).await;

    let frames = stream_of(bench, held.execution(), 0).await.frames;

    let field = |frame: usize, key: &str| frames[frame].fields.get(key).map(String::as_str);
    assert_eq!(field(0, "frame_type"), Some("step"));
    assert_eq!(field(0, "payload"), Some("step 1"));
    assert_eq!(field(0, "encoding"), Some("utf8"));
    assert_eq!(field(0, "source"), Some("worker"));
    assert_eq!(field(0, "correlation_id"), Some("c-1"));
    assert_eq!(field(0, "seq"), Some("41"));
    assert_eq!((field(1, "frame_type"), field(1, "payload")), (Some("stderr"), Some("")));
    assert_eq!((field(1, "correlation_id"), field(1, "seq")), (None, None));
}

pub async fn any_bytes_survive(bench: &Bench) {
    let held = bench.claimed().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    for bytes in [&b"a\0b\n\"\\\x7f"[..], "é€🦀".as_bytes(), b"\xff", &every_byte] {
        append(bench, &held, Frame::new(bytes.to_vec(), FrameKind::Blob)).await;
    }

    let stream = stream_of(bench, held.execution(), 0).await;

    let encodings: Vec<&str> =
        stream.frames.iter().map(|frame| frame.fields["encoding"].as_str()).collect();
    assert_eq!(encodings, ["utf8", "utf8", "base64", "base64"]);
    let shown = payloads(&stream);
    assert_eq!(shown[0], "a\0b\n\"\\\x7f");
    assert_eq!(shown[1], "é€🦀");
    assert_eq!(shown[2], "/w==");
    assert_eq!(shown[3].len(), 344, "256 bytes in base64");
    assert!(shown[3].starts_with("AAECAwQF") && shown[3].ends_with("+/w=="));
}

pub async fn a_frame_has_at_most_64_kibibytes(bench: &Bench) {
    let held = bench.claimed().await;
    let sized = |bytes| Frame::new(vec![0xff; bytes], FrameKind::Blob);

    append(bench, &held, sized(65_536)).await;

    let refused = bench.unchanged_by(try_append(bench, &held, sized(65_537))).await;
    let detail = refused.must_be_validation(&ValidationKind::RetentionLimitExceeded);
    assert!(detail.contains("65537") && detail.contains("65536"), "{detail}");
}

pub async fn a_type_and_a_correlation_id_have_limits(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("x").with_frame_type("t".repeat(128))).await;
    append(bench, &held, text("x").with_correlation_id("c".repeat(256))).await;

    for (frame, named) in [
        (text("x").with_frame_type("t".repeat(129)), "frame_type"),
        (text("x").with_correlation_id("c".repeat(257)), "correlation_id"),
    ] {
        let refused = bench.unchanged_by(try_append(bench, &held, frame)).await;
        assert!(refused.must_be_invalid().contains(named));
    }
}

pub async fn a_lease_may_append_until_its_last_millisecond(bench: &Bench) {
    let held = bench.claimed().await;
    bench.advance_to(held.expires_at().await);
    bench.clock.step_wall_to(bench.now().0);
    let refused = bench.unchanged_by(try_append(bench, &held, text("late"))).await;
    refused.must_be_state(&StateKind::StaleOwnerCannotAppend);

    let other = bench.claimed().await;
    bench.advance(u64::from(crate::harness::TTL_MS) - 1);
    append(bench, &other, text("in time")).await;
    bench.advance(1);
    let refused = try_append(bench, &other, text("late")).await;
    refused.must_be_state(&StateKind::StaleOwnerCannotAppend);
}

pub async fn any_difference_in_the_proof_is_stale(bench: &Bench) {
    let held = bench.claimed().await;
    for forged in [
        held.forged(|proof| proof.lease_epoch.0 += 1),
        held.forged(|proof| proof.lease_epoch.0 -= 1),
        held.forged(|proof| proof.attempt_index.0 += 1),
        held.forged(|proof| proof.lease_id = bench.new_lease_id()),
        held.forged(|proof| proof.attempt_id = bench.new_attempt_id()),
    ] {
        let refused = bench.unchanged_by(try_append(bench, &forged, text("x"))).await;
        refused.must_be_state(&StateKind::StaleOwnerCannotAppend);
    }
    append(bench, &held, text("x")).await;
}

pub async fn a_lost_lease_appends_nothing(bench: &Bench) {
    let lapsed = bench.lapsed().await;
    let refused = bench.unchanged_by(try_append(bench, &lapsed, text("x"))).await;
    refused.must_be_state(&StateKind::StaleOwnerCannotAppend);
    let successor = bench.claim().await;
    append(bench, &successor, text("mine")).await;
    let refused = bench.unchanged_by(try_append(bench, &lapsed, text("x"))).await;
    refused.must_be_state(&StateKind::StaleOwnerCannotAppend);
    assert!(stream_of(bench, lapsed.execution(), 0).await.frames.is_empty());

    let held = bench.claimed().await;
    bench.engine.revoke_lease(bench.revoke_args(held.execution())).await.unwrap();
    let refused = bench.unchanged_by(try_append(bench, &held, text("x"))).await;
    refused.must_be_state(&StateKind::StaleOwnerCannotAppend);
}

pub async fn after_the_end_the_stream_is_closed(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("x")).await;
    held.complete(None).await.unwrap();

    let refused = bench.unchanged_by(try_append(bench, &held, text("y"))).await;

    refused.must_be_state(&StateKind::StreamClosed);
    let stream = stream_of(bench, held.execution(), 0).await;
    assert_eq!(payloads(&stream), ["x"]);
}

pub async fn an_unknown_execution_has_a_closed_stream(bench: &Bench) {
    let unknown = bench.claimed().await.forged(|proof| proof.execution_id = bench.new_id());

    let refused = try_append(bench, &unknown, text("x")).await;

    refused.must_be_state(&StateKind::StreamClosed);
}

pub async fn a_parked_attempt_goes_on_with_its_stream(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("before")).await;
    held.release().await.unwrap();
    let refused = bench.unchanged_by(try_append(bench, &held, text("parked"))).await;
    refused.must_be_state(&StateKind::StreamClosed);
    assert!(!stream_of(bench, held.execution(), 0).await.is_closed());

    let next = bench.claim().await;
    let outcome = append(bench, &next, text("after")).await;

    assert_eq!((next.attempt(), outcome.frame_count), (0, 2));
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["before", "after"]);
}

pub async fn each_attempt_has_a_stream_of_its_own(bench: &Bench) {
    let first = bench.lapsed().await;
    let second = bench.claim().await;
    assert_eq!(second.attempt(), 1);

    let outcome = append(bench, &second, text("second")).await;

    assert_eq!(outcome.frame_count, 1);
    assert!(stream_of(bench, first.execution(), 0).await.frames.is_empty());
    assert_eq!(payloads(&stream_of(bench, first.execution(), 1).await), ["second"]);
}

pub async fn a_frame_is_neither_event_nor_transition(bench: &Bench) {
    let held = bench.claimed().await;
    let (causes, story) =
        (bench.causes(held.execution()).await, bench.lease_story(held.execution()).await);

    append(bench, &held, text("x")).await;

    assert_eq!(bench.causes(held.execution()).await, causes);
    assert_eq!(bench.lease_story(held.execution()).await, story);
}

pub async fn a_repeat_appends_again(bench: &Bench) {
    let held = bench.claimed().await;
    for _ in 0..2 {
        append(bench, &held, text("same")).await;
    }
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["same", "same"]);
}

pub async fn many_appends_at_once_are_dense_and_ordered(bench: &Bench) {
    let held = bench.claimed().await;

    let appended =
        join_all((0..64).map(|number| append(bench, &held, text(&number.to_string())))).await;

    let mut counts: Vec<u64> = appended.iter().map(|outcome| outcome.frame_count).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=64).collect::<Vec<_>>());
    assert_eq!(stream_of(bench, held.execution(), 0).await.frames.len(), 64);
}

pub async fn a_handle_of_another_backend_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    let mut foreign = held.clone();
    foreign.handle = held.tagged(BackendTag::Valkey, BackendTag::Valkey);

    let refused = try_append(bench, &foreign, text("x")).await;

    refused.must_be_validation(&ValidationKind::HandleFromOtherBackend);
}

fn keeping(length: u64) -> impl FnOnce(&mut ExecutionPolicy) {
    move |policy| {
        policy.stream_policy = Some(StreamPolicy {
            durability_mode: "durable".to_owned(),
            retention_maxlen: length,
            retention_ttl_ms: None,
        });
    }
}

pub async fn the_policy_says_how_many_durable_frames_stay(bench: &Bench) {
    bench.submit().policy(keeping(3)).await;
    let held = bench.claim().await;
    for number in 1..=3 {
        append(bench, &held, text(&number.to_string())).await;
    }
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["1", "2", "3"]);

    let fourth = append(bench, &held, text("4")).await;

    assert_eq!(fourth.frame_count, 4, "the count goes on");
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["2", "3", "4"]);
}

pub async fn sixty_four_patches_stay_and_the_document_keeps_all(bench: &Bench) {
    let held = bench.claimed().await;
    for number in 0..70 {
        append(bench, &held, patch(&format!("{{\"k{number}\": {number}}}"))).await;
    }

    let stream = stream_of(bench, held.execution(), 0).await;
    let id = held.execution();
    let summary = bench.engine.read_summary(id, ff_core::types::AttemptIndex(0)).await.unwrap();

    assert_eq!(stream.frames.len(), 64);
    assert_eq!(payloads(&stream)[0], r#"{"k6": 6}"#);
    let document: serde_json::Value =
        serde_json::from_slice(&summary.unwrap().document_json).unwrap();
    assert_eq!(document.as_object().unwrap().len(), 70);
}

/// At 10 Hz and a TTL of 10 s about 200 frames stay; the rest was best effort.
pub async fn best_effort_frames_stay_for_about_their_ttl(bench: &Bench) {
    let held = bench.claimed().await;
    let mut last = 0;
    for number in 0..290 {
        last = append(bench, &held, live(&number.to_string(), 10_000)).await.frame_count;
        bench.advance(100);
    }

    let kept = stream_of(bench, held.execution(), 0).await.frames.len();

    assert_eq!(last, 290);
    assert!((195..=205).contains(&kept), "{kept}");
}

pub async fn best_effort_frames_never_push_out_durable_ones(bench: &Bench) {
    bench.submit().policy(keeping(2)).await;
    let held = bench.claim().await;
    append(bench, &held, text("a")).await;
    append(bench, &held, patch("{}")).await;
    append(bench, &held, text("b")).await;
    for _ in 0..200 {
        append(bench, &held, live("x", 1)).await;
        bench.advance(10);
    }

    let stream = stream_of(bench, held.execution(), 0).await;

    let of = |mode: Option<&str>| {
        let is_of = |frame: &&ff_core::contracts::StreamFrame| {
            frame.fields.get("mode").map(String::as_str) == mode
        };
        stream.frames.iter().filter(is_of).count()
    };
    assert_eq!((of(None), of(Some("summary")), of(Some("best_effort"))), (2, 1, 64));
}

pub async fn a_stream_of_best_effort_frames_goes_when_it_falls_silent(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, live("x", 500)).await;
    bench.advance(999);
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["x"]);

    bench.advance(1);

    assert!(stream_of(bench, held.execution(), 0).await.frames.is_empty(), "unswept");
    bench.sweep().await;
    assert!(stream_of(bench, held.execution(), 0).await.frames.is_empty());
    let next = append(bench, &held, live("y", 500)).await;
    assert_eq!(next.frame_count, 2, "the count goes on");
    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["y"]);
}

pub async fn what_fell_silent_does_not_come_back_with_the_next_frame(bench: &Bench) {
    for next in [text("durable"), live("again", 500)] {
        let held = bench.claimed().await;
        append(bench, &held, live("old", 500)).await;
        bench.advance(1_000);

        append(bench, &held, next).await;

        assert_eq!(stream_of(bench, held.execution(), 0).await.frames.len(), 1);
        held.complete(None).await.unwrap();
    }
}

pub async fn one_durable_frame_keeps_the_stream_for_good(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, live("x", 500)).await;
    append(bench, &held, text("kept")).await;
    append(bench, &held, live("y", 500)).await;

    bench.advance(10_000);
    bench.sweep().await;

    assert_eq!(payloads(&stream_of(bench, held.execution(), 0).await), ["x", "kept", "y"]);
}

pub async fn a_ttl_of_nought_is_refused(bench: &Bench) {
    let held = bench.claimed().await;

    let refused = bench.unchanged_by(try_append(bench, &held, live("x", 0))).await;

    assert!(refused.must_be_invalid().contains("ttl_ms"));
}

pub async fn a_stream_goes_with_its_execution(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("x")).await;
    append(bench, &held, patch("{}")).await;
    held.complete(None).await.unwrap();
    bench.advance(bench.limits.retention.0);

    bench.sweep().await;

    let index = ff_core::types::AttemptIndex(0);
    assert!(stream_of(bench, held.execution(), 0).await.frames.is_empty());
    assert_eq!(bench.engine.read_summary(held.execution(), index).await.unwrap(), None);
    bench.submit().id(held.execution()).await;
    let again = bench.claim().await;
    assert_eq!(append(bench, &again, text("anew")).await.frame_count, 1);
    let mode = StreamMode::durable_summary();
    let version = append(bench, &again, patch("{}").with_mode(mode)).await.summary_version;
    assert_eq!(version, Some(1));
}
