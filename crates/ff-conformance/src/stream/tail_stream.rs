//! Tailing: what comes after a frame, now or as soon as it does.

use ff_core::backend::{FailureClass, TailVisibility};
use ff_core::contracts::{StreamCursor, StreamFrames};
use ff_core::types::{AttemptIndex, ExecutionId};
use futures_util::future::join_all;
use tokio::sync::watch;

use super::{append, at, ids, live, patch, payloads, text};
use crate::harness::{Bench, Held, Refusal};

/// Longer than the suite's patience: only a wake-up ends it in time, and a wait that ran out would read what
/// is there all the same.
const LONG_MS: u64 = 3_600_000;

async fn tail(bench: &Bench, held: &Held, after: &str, block_ms: u64) -> StreamFrames {
    tail_of(bench, held.execution(), held.attempt(), after, block_ms).await
}

async fn tail_of(
    bench: &Bench,
    id: &ExecutionId,
    attempt: u32,
    after: &str,
    block_ms: u64,
) -> StreamFrames {
    let (index, all) = (AttemptIndex(attempt), TailVisibility::All);
    bench.engine.tail_stream(id, index, at(after), block_ms, 100, all).await.expect("a tail")
}

pub async fn what_is_there_is_answered_at_once(bench: &Bench) {
    let held = bench.claimed().await;
    let first = append(bench, &held, text("one")).await.stream_id;
    append(bench, &held, text("two")).await;

    assert_eq!(payloads(&tail(bench, &held, "0-0", LONG_MS).await), ["one", "two"]);
    assert_eq!(payloads(&tail(bench, &held, &first, LONG_MS).await), ["two"]);
    assert_eq!(payloads(&tail(bench, &held, "0-0", 0).await), ["one", "two"]);
}

pub async fn without_a_wait_nothing_is_waited_for(bench: &Bench) {
    let held = bench.claimed().await;
    assert_eq!(tail(bench, &held, "0-0", 0).await, StreamFrames::empty_open());
    assert_eq!(tail(bench, &held, "0-0", 30).await, StreamFrames::empty_open());
}

pub async fn a_frame_wakes_a_waiting_tail(bench: &Bench) {
    let held = bench.claimed().await;
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            append(bench, &held, text("news")).await;
        })
        .await;

    assert_eq!(payloads(&found), ["news"]);
    assert!(!found.is_closed());
}

pub async fn every_tail_of_a_stream_is_woken(bench: &Bench) {
    let held = bench.claimed().await;
    let tails = join_all((0..16).map(|_| tail(bench, &held, "0-0", LONG_MS)));
    let work = async {
        bench.until_waiting(16).await;
        append(bench, &held, text("news")).await;
    };

    let (all, ()) = tokio::join!(tails, work);

    assert!(all.iter().all(|found| payloads(found) == ["news"]));
}

/// A tail that follows a stream sees every frame once, in order, and then its end.
pub async fn a_tail_follows_to_the_end(bench: &Bench) {
    let held = bench.claimed().await;
    let told = watch::Sender::new(0);
    let follow = async {
        let (mut seen, mut after) = (Vec::new(), "0-0".to_owned());
        loop {
            let page = tail(bench, &held, &after, LONG_MS).await;
            if page.frames.is_empty() {
                return (seen, page);
            }
            after = page.frames.last().unwrap().id.clone();
            seen.extend(payloads(&page).into_iter().map(str::to_owned));
            told.send_replace(seen.len());
        }
    };
    let write = async {
        for number in 0..50 {
            append(bench, &held, text(&number.to_string())).await;
            if number % 10 == 0 {
                bench.advance(1);
                told.subscribe().wait_for(|seen| *seen == number + 1).await.unwrap();
                bench.until_waiting(1).await;
            }
        }
        held.complete(None).await.unwrap();
    };

    let ((seen, last), ()) = tokio::join!(follow, write);

    assert_eq!(seen, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(last.closed_reason.as_deref(), Some("attempt_success"));
}

pub async fn the_end_wakes_a_waiting_tail(bench: &Bench) {
    let held = bench.claimed().await;
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            held.complete(None).await.unwrap();
        })
        .await;
    assert_eq!(found.closed_reason.as_deref(), Some("attempt_success"));

    let held = bench.claimed().await;
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            held.fail("broken", FailureClass::Permanent).await.unwrap();
        })
        .await;
    assert_eq!(found.closed_reason.as_deref(), Some("attempt_failure"));

    let held = bench.claimed().await;
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            bench.cancel(held.execution()).await.unwrap();
        })
        .await;
    assert_eq!(found.closed_reason.as_deref(), Some("attempt_cancelled"));
}

pub async fn a_reclaim_wakes_the_tail_of_the_lost_attempt(bench: &Bench) {
    let held = bench.claimed().await;
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            bench.let_lease_expire(&held).await;
            bench.claim().await;
        })
        .await;

    assert_eq!(found.closed_reason.as_deref(), Some("reclaimed"));
}

pub async fn a_sweep_that_ends_an_attempt_wakes_its_tail(bench: &Bench) {
    bench.submit().deadline(bench.after(100)).await;
    let held = bench.claim().await;
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            bench.advance(100);
            bench.sweep().await;
        })
        .await;

    assert_eq!(found.closed_reason.as_deref(), Some("expired"));
}

pub async fn a_closed_stream_is_not_waited_for(bench: &Bench) {
    let held = bench.claimed().await;
    let only = append(bench, &held, text("x")).await.stream_id;
    held.complete(None).await.unwrap();

    let behind = tail(bench, &held, &only, LONG_MS).await;
    let whole = tail(bench, &held, "0-0", LONG_MS).await;

    assert!(behind.frames.is_empty() && behind.is_closed());
    assert_eq!(payloads(&whole), ["x"]);
    assert!(whole.is_closed());
}

/// A tail may be there before its execution is.
pub async fn a_tail_waits_for_an_attempt_to_come(bench: &Bench) {
    let id = bench.new_id();
    let found = bench
        .woken_by(tail_of(bench, &id, 0, "0-0", LONG_MS), async {
            bench.submit().id(&id).await;
            let held = bench.claim().await;
            append(bench, &held, text("first")).await;
        })
        .await;

    assert_eq!(payloads(&found), ["first"]);
}

pub async fn other_streams_do_not_end_the_wait(bench: &Bench) {
    let (held, other) = (bench.claimed().await, bench.claimed().await);
    let found = bench
        .woken_by(tail(bench, &held, "0-0", LONG_MS), async {
            for _ in 0..20 {
                append(bench, &other, text("elsewhere")).await;
            }
            append(bench, &held, text("here")).await;
        })
        .await;

    assert_eq!(payloads(&found), ["here"]);
}

pub async fn frames_that_are_not_shown_do_not_end_the_wait(bench: &Bench) {
    let held = bench.claimed().await;
    let (id, index) = (held.execution(), AttemptIndex(0));
    let visibility = TailVisibility::ExcludeBestEffort;
    let found = bench
        .woken_by(
            async {
                bench
                    .engine
                    .tail_stream(id, index, at("0-0"), LONG_MS, 10, visibility)
                    .await
                    .unwrap()
            },
            async {
                for _ in 0..5 {
                    append(bench, &held, live("noise", 60_000)).await;
                }
                append(bench, &held, text("signal")).await;
            },
        )
        .await;

    assert_eq!(payloads(&found), ["signal"]);
}

/// The limit counts what is shown: a page never comes back empty in front of durable frames.
pub async fn best_effort_frames_are_left_out_before_the_limit_counts(bench: &Bench) {
    let held = bench.claimed().await;
    for number in 0..10 {
        append(bench, &held, live("noise", 60_000)).await;
        append(bench, &held, text(&number.to_string())).await;
    }
    append(bench, &held, patch("{}")).await;
    let tail = |limit, visibility| {
        let (id, index) = (held.execution(), AttemptIndex(0));
        bench.engine.tail_stream(id, index, at("0-0"), 0, limit, visibility)
    };

    let shown = tail(5, TailVisibility::ExcludeBestEffort).await.unwrap();
    let whole = tail(100, TailVisibility::ExcludeBestEffort).await.unwrap();
    let all = tail(100, TailVisibility::All).await.unwrap();

    assert_eq!(payloads(&shown), ["0", "1", "2", "3", "4"]);
    assert_eq!((whole.frames.len(), all.frames.len()), (11, 21));
}

/// Frames of one instant are told apart by their number alone.
pub async fn a_tail_resumes_behind_any_frame(bench: &Bench) {
    let held = bench.claimed().await;
    let mut all = Vec::new();
    for number in 0..8 {
        all.push(append(bench, &held, text(&number.to_string())).await.stream_id);
    }
    for index in 0..8 {
        let found = tail(bench, &held, &all[index], 0).await;
        assert_eq!(ids(&found), &all[index + 1..]);
    }
    let ms = all[0].split_once('-').unwrap().0.to_owned();
    assert_eq!(ids(&tail(bench, &held, &ms, 0).await), &all[1..], "a bare millisecond is its 0");
}

pub async fn a_place_that_is_no_frame_is_refused(bench: &Bench) {
    let held = bench.claimed().await;
    let tail = |after, limit| {
        let (id, index, all) = (held.execution(), AttemptIndex(0), TailVisibility::All);
        bench.engine.tail_stream(id, index, after, LONG_MS, limit, all)
    };
    for after in [StreamCursor::start(), StreamCursor::end()] {
        let told = tail(after, 1).await.must_be_invalid();
        assert_eq!(told, "tail_stream requires concrete after cursor");
    }
    tail(at("x"), 1).await.must_be_invalid();
    assert_eq!(tail(at("0-0"), 0).await.must_be_invalid(), "count_limit must be >= 1");
    let told = tail(at("0-0"), 10_001).await.must_be_invalid();
    assert_eq!(told, "count_limit_exceeds_hard_cap");
}

/// A tail that is given up leaves nothing behind that the next one could stumble over.
pub async fn a_tail_may_be_given_up(bench: &Bench) {
    let held = bench.claimed().await;
    for _ in 0..10 {
        tokio::select! {
            found = tail(bench, &held, "0-0", LONG_MS) => panic!("nothing is there: {found:?}"),
            () = bench.until_waiting(1) => {}
        }
        bench.until_waiting(0).await;
    }
    append(bench, &held, text("x")).await;
    assert_eq!(payloads(&tail(bench, &held, "0-0", LONG_MS).await), ["x"]);
}
