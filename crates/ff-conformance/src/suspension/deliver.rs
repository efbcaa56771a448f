//! Delivering signals: who may, once each, and how many.

use ff_core::contracts::{AnswerWaitpointArgs, DeliverApprovalSignalArgs, DeliverSignalResult};
use ff_core::engine_error::{StateKind, ValidationKind};
use ff_core::state::PublicState;
use ff_core::types::{LaneId, WaitpointId, WaitpointToken};

use super::{at_key, delivered, observed, park, parked, plain, signal, to, waiting_for};
use crate::harness::{Bench, LANE, Refusal};

pub async fn a_forged_or_foreign_token_is_refused_and_leaves_no_trace(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let (_, foreign) = parked(bench).await;
    let good = details.waitpoint_token.as_str();
    let last = if good.ends_with('0') { '1' } else { '0' };
    for text in [
        String::new(),
        "no token".to_owned(),
        format!("{}{last}", &good[..good.len() - 1]),
        foreign.waitpoint_token.as_str().to_owned(),
    ] {
        let mut args = to(bench, held.execution(), &details);
        args.waitpoint_token = WaitpointToken::new(text);
        let refused = bench.unchanged_by(delivered(bench, args)).await;
        refused.must_be_validation(&ValidationKind::InvalidToken);
    }
    let mut elsewhere = to(bench, held.execution(), &details);
    elsewhere.waitpoint_id = foreign.waitpoint_id;
    delivered(bench, elsewhere).await.must_be_validation(&ValidationKind::InvalidToken);
    let mut unknown = to(bench, held.execution(), &details);
    unknown.waitpoint_id = WaitpointId::from_uuid(bench.new_lease_id().0);
    delivered(bench, unknown).await.must_be_validation(&ValidationKind::InvalidToken);
    let nobody = to(bench, &bench.new_id(), &details);
    delivered(bench, nobody).await.must_be_not_found("execution");
}

pub async fn the_same_key_at_the_same_waitpoint_counts_once(bench: &Bench) {
    let held = bench.claimed().await;
    let condition =
        ff_core::contracts::ResumeCondition::Composite(ff_core::contracts::CompositeBody::count(
            2,
            ff_core::contracts::CountKind::DistinctSignals,
            None,
            ["k".to_owned()],
        ));
    let (details, _) = park(bench, &held, waiting_for(bench, condition, &["k"])).await;
    let keyed = || {
        let mut args = to(bench, held.execution(), &details);
        args.idempotency_key = Some("once".to_owned());
        args.dedup_ttl_ms = Some(1_000);
        args
    };
    let first = keyed();
    let known = first.signal_id.clone();
    assert_eq!(delivered(bench, first).await.unwrap(), "appended_to_waitpoint");

    bench.advance(999);
    let again = bench.unchanged_by(bench.engine.deliver_signal(keyed())).await.unwrap();
    assert_eq!(again, DeliverSignalResult::Duplicate { existing_signal_id: known });
    bench.advance(1);
    assert_eq!(delivered(bench, keyed()).await.unwrap(), "resume_condition_satisfied");
    assert_eq!(observed(bench, &bench.claim().await).await.len(), 2);
}

pub async fn the_same_signal_id_is_the_same_signal(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let args = to(bench, held.execution(), &details);
    delivered(bench, args.clone()).await.unwrap();

    // The waitpoint is closed by then; the sender that lost the answer learns that it came.
    assert_eq!(delivered(bench, args).await.unwrap(), "duplicate");
    let other = delivered(bench, to(bench, held.execution(), &details)).await;
    other.must_be_state(&StateKind::WaitpointClosed);
}

pub async fn signals_are_bounded_and_a_repeat_at_the_bound_is_a_duplicate(bench: &Bench) {
    let id = bench.submit().policy(|policy| policy.max_signals_per_execution = 2).await;
    let held = bench.claim().await;
    let keys = ["a", "b"];
    let condition = ff_core::contracts::ResumeCondition::all_of_waitpoints(keys);
    let (details, _) = park(bench, &held, waiting_for(bench, condition, &keys)).await;
    let (waitpoint, token) = at_key(&details, "a");
    let first = signal(bench, &id, waitpoint, token);
    delivered(bench, first.clone()).await.unwrap();
    delivered(bench, signal(bench, &id, waitpoint, token)).await.unwrap();

    let refused = bench.unchanged_by(delivered(bench, signal(bench, &id, waitpoint, token))).await;

    refused.must_be_validation(&ValidationKind::SignalLimitExceeded);
    assert_eq!(delivered(bench, first).await.unwrap(), "duplicate");
}

pub async fn a_payload_is_bounded_and_is_bytes(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let mut large = to(bench, held.execution(), &details);
    large.payload = Some([bytes.clone(), vec![0]].concat());
    delivered(bench, large).await.must_be_validation(&ValidationKind::PayloadTooLarge);
    let mut fits = to(bench, held.execution(), &details);
    fits.payload = Some(bytes.clone());
    delivered(bench, fits).await.unwrap();

    let resumed = bench.claim().await;

    let signals = bench.engine.observe_signals(&resumed.handle).await.unwrap();
    assert_eq!(signals[0].payload, Some(bytes));
}

pub async fn an_ended_execution_takes_no_signal(bench: &Bench) {
    let (held, details) = parked(bench).await;
    bench.cancel(held.execution()).await.unwrap();

    let late = bench.unchanged_by(delivered(bench, to(bench, held.execution(), &details))).await;

    late.must_be_state(&StateKind::TargetNotSignalable);
}

pub async fn a_resume_may_be_delayed_by_its_signal(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let mut args = to(bench, held.execution(), &details);
    args.resume_delay_ms = Some(2_000);

    delivered(bench, args).await.unwrap();

    assert_eq!(bench.state(held.execution()).await, PublicState::Delayed);
    bench.advance(1_999);
    bench.claim().nothing().await;
    bench.advance(1);
    assert_eq!(bench.claim().await.attempt(), 0);
}

pub async fn a_person_approves_without_a_token_and_once(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let approve = |lane: &str, suffix: &str| {
        let (id, waitpoint) = (held.execution().clone(), details.waitpoint_id.clone());
        let lane = LaneId::new(lane);
        let (name, window) = ("approved", 60_000);
        let args =
            DeliverApprovalSignalArgs::new(id, lane, waitpoint, name, suffix, window, None, None);
        bench.engine.deliver_approval_signal(args)
    };
    let refused = bench.unchanged_by(approve("elsewhere", "1")).await;
    assert!(refused.must_be_invalid().starts_with("lane_mismatch: args.lane_id=elsewhere"));

    let DeliverSignalResult::Accepted { signal_id, effect } = approve(LANE, "1").await.unwrap()
    else {
        panic!("accepted")
    };

    assert_eq!(effect, "resume_condition_satisfied");
    let again = approve(LANE, "1").await.unwrap();
    assert_eq!(again, DeliverSignalResult::Duplicate { existing_signal_id: signal_id });
    let resumed = bench.claim().await;
    let signals = bench.engine.observe_signals(&resumed.handle).await.unwrap();
    assert_eq!(signals[0].signal_name, "approved");
    assert_eq!(
        (signals[0].signal_category.as_str(), signals[0].source_type.as_str()),
        ("approval", "operator")
    );
}

pub async fn an_operator_answers_with_a_payload(bench: &Bench) {
    let (held, details) = parked(bench).await;
    let id = held.execution().clone();
    let unknown = WaitpointId::from_uuid(bench.new_lease_id().0);
    let to_nobody = AnswerWaitpointArgs::new(id.clone(), unknown, "answer", "ada");
    bench.engine.answer_waitpoint(to_nobody).await.must_be_not_found("waitpoint");
    let answer = AnswerWaitpointArgs::new(id, details.waitpoint_id, "answer", "ada")
        .with_payload(b"42".to_vec(), Some("text".to_owned()))
        .with_idempotency_key("once");

    bench.engine.answer_waitpoint(answer.clone()).await.unwrap();

    let again = bench.engine.answer_waitpoint(answer).await.unwrap();
    assert!(matches!(again, DeliverSignalResult::Duplicate { .. }));
    let resumed = bench.claim().await;
    let signals = bench.engine.observe_signals(&resumed.handle).await.unwrap();
    assert_eq!(signals[0].payload.as_deref(), Some(b"42".as_slice()));
    assert_eq!(signals[0].source_identity, "ada");
}

/// Tokens are credentials: nothing that is shown or told holds one.
pub async fn no_token_shows_in_what_is_printed(bench: &Bench) {
    let held = bench.claimed().await;
    let args = plain(bench);
    let shown_args = format!("{args:?}");
    let (details, handle) = park(bench, &held, args).await;
    let secret = details.waitpoint_token.as_str().split_once(':').unwrap().1.to_owned();
    let mut forged = to(bench, held.execution(), &details);
    let good = format!("{forged:?}");
    forged.execution_id = bench.new_id();
    let refused = bench.engine.deliver_signal(forged).await.unwrap_err();
    let mut wrong = to(bench, held.execution(), &details);
    wrong.waitpoint_id = WaitpointId::from_uuid(bench.new_lease_id().0);
    let token = bench.engine.deliver_signal(wrong).await.unwrap_err();
    let listed =
        bench.engine.list_waiting(ff_core::contracts::ListWaitingArgs::new()).await.unwrap();

    for shown in [
        shown_args,
        good,
        format!("{details:?} {handle:?} {refused} {refused:?} {token} {token:?} {listed:?}"),
        serde_json::to_string(&listed).unwrap(),
        bench.picture().await.join("\n"),
    ] {
        assert!(!shown.contains(&secret), "{shown}");
    }
}
