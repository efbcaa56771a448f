//! Reading: ranges, cursors, pages, and how a stream ended.

use ff_core::backend::{FailureClass, Frame, FrameKind};
use ff_core::contracts::{StreamCursor, StreamFrames};
use ff_core::types::AttemptIndex;

use super::{append, at, ids, payloads, read, stream_of, text};
use crate::harness::{Bench, Held, Refusal, fixed};

/// Two frames in each of three instants.
async fn six(bench: &Bench) -> (Held, Vec<String>) {
    let held = bench.claimed().await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(append(bench, &held, text(&number.to_string())).await.stream_id);
        if number % 2 == 1 {
            bench.advance(5);
        }
    }
    (held, ids)
}

fn ms(id: &str) -> &str {
    id.split_once('-').unwrap().0
}

pub async fn a_range_includes_both_ends(bench: &Bench) {
    let (held, all) = six(bench).await;
    for from in 0..6 {
        for to in 0..6 {
            let found = read(bench, held.execution(), 0, at(&all[from]), at(&all[to]), 100).await;
            let expected = if from <= to { &all[from..=to] } else { &[] };
            assert_eq!(ids(&found), expected, "{from}..={to}");
        }
    }
}

pub async fn a_bare_millisecond_means_all_of_it(bench: &Bench) {
    let (held, all) = six(bench).await;
    let id = held.execution();

    let one = read(bench, id, 0, at(ms(&all[2])), at(ms(&all[2])), 100).await;
    let to = read(bench, id, 0, StreamCursor::start(), at(ms(&all[2])), 100).await;
    let from = read(bench, id, 0, at(ms(&all[2])), StreamCursor::end(), 100).await;

    assert_eq!(ids(&one), &all[2..4]);
    assert_eq!(ids(&to), &all[..4]);
    assert_eq!(ids(&from), &all[2..]);
}

pub async fn places_between_frames_are_places(bench: &Bench) {
    let (held, all) = six(bench).await;
    let id = held.execution();
    let between = (ms(&all[2]).parse::<i64>().unwrap() + 1).to_string();

    let found = read(bench, id, 0, at(&between), at(&between), 100).await;
    let behind = read(bench, id, 0, at(&between), at("9223372036854775807"), 100).await;
    let all_of = read(bench, id, 0, StreamCursor::beginning(), StreamCursor::end(), 100).await;
    let none = read(bench, id, 0, StreamCursor::end(), StreamCursor::end(), 100).await;
    let other = read(bench, id, 0, StreamCursor::start(), StreamCursor::start(), 100).await;

    assert!(found.frames.is_empty() && none.frames.is_empty() && other.frames.is_empty());
    assert_eq!(ids(&behind), &all[4..]);
    assert_eq!(ids(&all_of), all);
}

/// Frames of one instant are told apart by their number alone.
pub async fn pages_together_are_the_whole_stream(bench: &Bench) {
    let held = bench.claimed().await;
    let mut all = Vec::new();
    for number in 0..10 {
        all.push(append(bench, &held, text(&number.to_string())).await.stream_id);
    }
    for limit in [1, 3, 9, 10, 11] {
        let (mut found, mut from) = (Vec::new(), StreamCursor::start());
        loop {
            let end = StreamCursor::end();
            let page = read(bench, held.execution(), 0, from, end, limit).await;
            assert!(page.frames.len() as u64 <= limit);
            let Some(last) = page.frames.last() else { break };
            let (ms, seq) = last.id.split_once('-').unwrap();
            from = at(&format!("{ms}-{}", seq.parse::<u64>().unwrap() + 1));
            found.extend(page.frames.into_iter().map(|frame| frame.id));
        }
        assert_eq!(found, all, "pages of {limit}");
    }
}

pub async fn a_page_has_one_to_ten_thousand_frames(bench: &Bench) {
    let (held, all) = six(bench).await;
    let (id, index) = (held.execution(), AttemptIndex(0));
    let of = |limit| {
        bench.engine.read_stream(id, index, StreamCursor::start(), StreamCursor::end(), limit)
    };

    assert_eq!(ids(&of(1).await.unwrap()), &all[..1]);
    assert_eq!(of(10_000).await.unwrap().frames.len(), 6);
    assert_eq!(of(0).await.must_be_invalid(), "count_limit must be >= 1");
    assert_eq!(of(10_001).await.must_be_invalid(), "count_limit_exceeds_hard_cap");
}

/// A reader never holds more than eight mebibytes; the rest comes with the next page.
pub async fn a_page_ends_after_eight_mebibytes(bench: &Bench) {
    let held = bench.claimed().await;
    for _ in 0..130 {
        append(bench, &held, Frame::new(vec![b'x'; 65_536], FrameKind::Blob)).await;
    }

    let page = stream_of(bench, held.execution(), 0).await;

    assert_eq!(page.frames.len(), 128);
    let last = page.frames.last().unwrap().id.clone();
    let rest = read(bench, held.execution(), 0, at(&last), StreamCursor::end(), 100).await;
    assert_eq!(rest.frames.len(), 3);
}

pub async fn a_malformed_place_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    let (id, index) = (held.execution(), AttemptIndex(0));
    for (text, why) in [
        ("", "stream cursor must not be empty"),
        ("-", "bare marker '-' is not a valid stream cursor; use 'start' or 'end'"),
        ("x", "invalid stream cursor 'x' (expected 'start', 'end', '<ms>', or '<ms>-<seq>')"),
        ("99999999999999999999", "lies beyond every frame"),
        ("start", "is not the id of a frame"),
    ] {
        for (from, to) in [(at(text), StreamCursor::end()), (StreamCursor::start(), at(text))] {
            let refused = bench.engine.read_stream(id, index, from, to, 1).await;
            let told = refused.must_be_invalid();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}

pub async fn a_stream_that_is_not_there_is_empty_and_open(bench: &Bench) {
    let waiting = bench.submit().await;
    for id in [waiting, bench.new_id()] {
        assert_eq!(stream_of(bench, &id, 0).await, StreamFrames::empty_open());
        assert_eq!(stream_of(bench, &id, 7).await, StreamFrames::empty_open());
    }
}

pub async fn the_same_id_in_another_partition_has_another_stream(bench: &Bench) {
    let held = bench.claimed().await;
    append(bench, &held, text("x")).await;
    let elsewhere = ff_core::types::ExecutionId::from_parts(9, held.execution().uuid());

    assert!(stream_of(bench, &elsewhere, 0).await.frames.is_empty());
}

async fn closed(bench: &Bench, held: &Held) -> (i64, String) {
    let stream = stream_of(bench, held.execution(), held.attempt()).await;
    assert_eq!(payloads(&stream), ["x"], "frames stay readable");
    (stream.closed_at.expect("closed").0, stream.closed_reason.expect("a reason"))
}

async fn with_frame(bench: &Bench) -> Held {
    let held = bench.claimed().await;
    append(bench, &held, text("x")).await;
    bench.advance(3);
    held
}

pub async fn each_end_of_an_attempt_closes_with_its_reason(bench: &Bench) {
    let held = with_frame(bench).await;
    held.complete(None).await.unwrap();
    assert_eq!(closed(bench, &held).await, (bench.now().0, "attempt_success".to_owned()));

    let held = with_frame(bench).await;
    held.fail("broken", FailureClass::Permanent).await.unwrap();
    assert_eq!(closed(bench, &held).await, (bench.now().0, "attempt_failure".to_owned()));

    let held = with_frame(bench).await;
    bench.cancel(held.execution()).await.unwrap();
    assert_eq!(closed(bench, &held).await, (bench.now().0, "attempt_cancelled".to_owned()));

    bench.submit().retries(fixed(1, 50)).await;
    let held = bench.claim().await;
    append(bench, &held, text("x")).await;
    held.fail("broken", FailureClass::Transient).await.unwrap();
    assert_eq!(closed(bench, &held).await, (bench.now().0, "attempt_failure".to_owned()));
    let retried = bench.now();
    bench.advance(50);
    bench.claim().await.complete(None).await.unwrap();
    assert_eq!(closed(bench, &held).await.0, retried.0, "the end of its own attempt");
}

pub async fn a_lapsed_attempt_closes_with_its_reclaim(bench: &Bench) {
    let held = with_frame(bench).await;
    bench.let_lease_expire(&held).await;
    bench.sweep().await;
    assert!(!stream_of(bench, held.execution(), 0).await.is_closed());

    bench.claim().await;

    assert_eq!(closed(bench, &held).await, (bench.now().0, "reclaimed".to_owned()));
}

pub async fn too_many_reclaims_close_with_the_lease(bench: &Bench) {
    bench.submit().reclaims(0).await;
    let held = bench.claim().await;
    append(bench, &held, text("x")).await;
    bench.let_lease_expire(&held).await;

    bench.claim().nothing().await;

    assert_eq!(closed(bench, &held).await.1, "lease_expired");
}

pub async fn a_deadline_closes_at_its_instant_swept_or_not(bench: &Bench) {
    bench.submit().deadline(bench.after(100)).await;
    let held = bench.claim().await;
    append(bench, &held, text("x")).await;
    bench.advance(99);
    assert!(!stream_of(bench, held.execution(), 0).await.is_closed());

    bench.advance(1);

    let before = closed(bench, &held).await;
    bench.sweep().await;
    assert_eq!(closed(bench, &held).await, before);
    assert_eq!(before, (bench.now().0, "expired".to_owned()));
}

pub async fn a_replay_leaves_the_first_runs_stream_closed(bench: &Bench) {
    let held = with_frame(bench).await;
    held.complete(None).await.unwrap();
    let before = closed(bench, &held).await;

    bench.advance(10);
    bench.replay(held.execution()).await.unwrap();
    let again = bench.claim().await;

    assert_eq!(closed(bench, &held).await, before);
    assert_eq!(again.attempt(), 1);
    assert!(!stream_of(bench, held.execution(), 1).await.is_closed());
}
