//! Creating an execution: what is stored, what counts as the same request, what is refused.

use ff_core::contracts::CreateExecutionResult;
use ff_core::engine_error::{ConflictKind, ValidationKind};
use ff_core::policy::{
    BackoffStrategy, ExecutionPolicy, FallbackPolicy, RetryPolicy, RoutingRequirements,
};
use ff_core::state::{
    AttemptState, BlockingReason, EligibilityState, LifecyclePhase, OwnershipState, PublicState,
    TerminalOutcome,
};

use crate::harness::{Bench, LANE, Refusal, fixed};

const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

pub async fn a_new_execution_waits_in_its_lane(bench: &Bench) {
    let submit = bench.submit();
    let id = submit.args().execution_id;

    let created = bench.submit().id(&id).answer().await.unwrap();

    let wanted = CreateExecutionResult::Created {
        execution_id: id.clone(),
        public_state: PublicState::Waiting,
    };
    assert_eq!(created, wanted);
    let state = bench.info(&id).await.state_vector;
    assert_eq!(state.lifecycle_phase, LifecyclePhase::Runnable);
    assert_eq!(state.ownership_state, OwnershipState::Unowned);
    assert_eq!(state.eligibility_state, EligibilityState::EligibleNow);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForWorker);
    assert_eq!(state.terminal_outcome, TerminalOutcome::None);
    assert_eq!(state.attempt_state, AttemptState::PendingFirstAttempt);
    assert_eq!(state.public_state, PublicState::Waiting);
}

pub async fn everything_given_can_be_read_back(bench: &Bench) {
    let id = bench
        .submit()
        .kind("report")
        .lane("reports")
        .namespace("acme")
        .priority(7)
        .payload(b"body")
        .tag("app.owner", "ann")
        .deadline(bench.after(90_000))
        .await;

    let summary = bench.summary(&id).await;
    assert_eq!(summary.execution_kind, "report");
    assert_eq!(summary.lane_id.as_str(), "reports");
    assert_eq!(summary.namespace.as_str(), "acme");
    assert_eq!(summary.priority, 7);
    assert_eq!(summary.created_at, bench.now());
    assert_eq!(summary.deadline_at, Some(bench.after(90_000)));
    assert_eq!(summary.tags.get("app.owner").map(String::as_str), Some("ann"));
    assert_eq!((summary.attempt_count, summary.lease_epoch.0), (0, 0));
    let context = bench.engine.read_execution_context(&id).await.unwrap();
    assert_eq!(context.input_payload, b"body");
    assert_eq!(context.execution_kind, "report");
}

pub async fn the_engines_clock_decides_when_it_was_created(bench: &Bench) {
    let mut args = bench.submit().args();
    args.now = bench.after(1_000_000);

    bench.engine.create_execution(args.clone()).await.unwrap();

    assert_eq!(bench.summary(&args.execution_id).await.created_at, bench.now());
}

pub async fn the_same_id_again_is_a_duplicate(bench: &Bench) {
    let id = bench.submit().await;

    let again = bench.unchanged_by(bench.submit().id(&id).payload(b"other").answer()).await;

    assert_eq!(again.unwrap(), CreateExecutionResult::Duplicate { execution_id: id });
}

pub async fn an_id_stays_a_duplicate_after_the_end(bench: &Bench) {
    let held = bench.completed().await;

    let again = bench.unchanged_by(bench.submit().id(held.execution()).answer()).await;

    let wanted = CreateExecutionResult::Duplicate { execution_id: held.execution().clone() };
    assert_eq!(again.unwrap(), wanted);
}

pub async fn the_same_key_and_request_is_a_duplicate_of_the_first(bench: &Bench) {
    let first = bench.submit().key("order-1").await;

    let again = bench.unchanged_by(bench.submit().key("order-1").answer()).await;

    assert_eq!(again.unwrap(), CreateExecutionResult::Duplicate { execution_id: first });
}

pub async fn a_key_counts_across_partitions(bench: &Bench) {
    let first = bench.submit().id(&bench.new_id_in(3)).key("order-1").await;

    let again = bench.submit().id(&bench.new_id_in(4)).key("order-1").answer().await;

    assert_eq!(again.unwrap(), CreateExecutionResult::Duplicate { execution_id: first });
}

pub async fn a_key_counts_within_its_namespace_only(bench: &Bench) {
    bench.submit().namespace("a").key("order-1").await;

    let other = bench.submit().namespace("b").key("order-1").answer().await;

    assert!(matches!(other, Ok(CreateExecutionResult::Created { .. })));
}

pub async fn a_key_with_another_payload_is_refused(bench: &Bench) {
    let first = bench.submit().key("order-1").payload(b"a").await;

    let refused = bench.unchanged_by(bench.submit().key("order-1").payload(b"b").answer()).await;

    refused.must_be_conflict(&ConflictKind::IdempotencyKeyReuse { execution_id: first });
}

pub async fn a_key_with_another_kind_lane_or_policy_is_refused(bench: &Bench) {
    let first = bench.submit().key("order-1").await;
    let reuse = ConflictKind::IdempotencyKeyReuse { execution_id: first };

    for other in [
        bench.submit().kind("other"),
        bench.submit().lane("other"),
        bench.submit().retries(fixed(1, 1)),
    ] {
        bench.unchanged_by(other.key("order-1").answer()).await.must_be_conflict(&reuse);
    }
}

pub async fn a_key_reused_for_an_existing_id_is_still_refused(bench: &Bench) {
    let first = bench.submit().key("order-1").payload(b"a").await;
    let second = bench.submit().await;

    let refused = bench.submit().id(&second).key("order-1").payload(b"b").answer().await;

    refused.must_be_conflict(&ConflictKind::IdempotencyKeyReuse { execution_id: first });
}

pub async fn a_key_is_forgotten_exactly_at_the_end_of_its_window(bench: &Bench) {
    let window = |policy: &mut ExecutionPolicy| policy.dedup_window_ms = Some(10_000);
    let first = bench.submit().key("order-1").policy(window).await;

    bench.advance(9_999);
    let within = bench.submit().key("order-1").policy(window).answer().await.unwrap();
    bench.advance(1);
    let after = bench.submit().key("order-1").policy(window).answer().await.unwrap();

    assert_eq!(within, CreateExecutionResult::Duplicate { execution_id: first });
    assert!(matches!(after, CreateExecutionResult::Created { .. }));
}

pub async fn a_sweep_does_not_forget_a_key_early(bench: &Bench) {
    let window = |policy: &mut ExecutionPolicy| policy.dedup_window_ms = Some(10_000);
    let first = bench.submit().key("order-1").policy(window).await;

    bench.advance(9_999);
    bench.sweep().await;

    let within = bench.submit().key("order-1").policy(window).answer().await.unwrap();
    assert_eq!(within, CreateExecutionResult::Duplicate { execution_id: first });
}

pub async fn a_key_is_remembered_for_a_day_by_default(bench: &Bench) {
    let first = bench.submit().key("order-1").await;

    bench.advance(DAY_MS - 1);
    let within = bench.submit().key("order-1").answer().await.unwrap();
    bench.advance(1);
    let after = bench.submit().key("order-1").answer().await.unwrap();

    assert_eq!(within, CreateExecutionResult::Duplicate { execution_id: first });
    assert!(matches!(after, CreateExecutionResult::Created { .. }));
}

pub async fn an_empty_key_is_no_key(bench: &Bench) {
    bench.submit().key("").payload(b"a").await;

    let other = bench.submit().key("").payload(b"b").answer().await;

    assert!(matches!(other, Ok(CreateExecutionResult::Created { .. })));
}

pub async fn a_priority_is_kept_within_its_bounds(bench: &Bench) {
    for (given, stored) in [(-5, 0), (0, 0), (8_999, 8_999), (9_000, 9_000), (9_001, 9_000)] {
        let id = bench.submit().priority(given).await;
        assert_eq!(bench.summary(&id).await.priority, stored, "{given}");
    }
}

pub async fn the_policys_priority_counts_where_the_call_gives_none(bench: &Bench) {
    let by_policy = bench.submit().policy(|policy| policy.priority = 12).await;
    let by_call = bench.submit().priority(3).policy(|policy| policy.priority = 12).await;

    assert_eq!(bench.summary(&by_policy).await.priority, 12);
    assert_eq!(bench.summary(&by_call).await.priority, 3);
}

pub async fn a_delayed_execution_cannot_be_claimed_before_its_instant(bench: &Bench) {
    let id = bench.submit().delay_until(bench.after(1_000)).await;
    assert_eq!(bench.state(&id).await, PublicState::Delayed);
    let state = bench.info(&id).await.state_vector;
    assert_eq!(state.eligibility_state, EligibilityState::NotEligibleUntilTime);
    assert_eq!(state.blocking_reason, BlockingReason::WaitingForDelay);

    bench.advance(999);
    bench.claim().nothing().await;
    bench.advance(1);

    assert_eq!(*bench.claim().await.execution(), id);
}

pub async fn a_sweep_brings_a_delayed_execution_into_line(bench: &Bench) {
    let id = bench.submit().delay_until(bench.after(1_000)).await;

    bench.advance(999);
    bench.sweep().await;
    assert_eq!(bench.state(&id).await, PublicState::Delayed);
    bench.advance(1);
    bench.sweep().await;

    assert_eq!(bench.state(&id).await, PublicState::Waiting);
}

pub async fn a_delay_that_is_over_is_no_delay(bench: &Bench) {
    let now = bench.submit().delay_until(bench.now()).await;
    let by_policy = bench.submit().policy(|policy| policy.delay_until = Some(bench.after(5))).await;

    assert_eq!(bench.state(&now).await, PublicState::Waiting);
    assert_eq!(bench.state(&by_policy).await, PublicState::Delayed);
}

pub async fn an_input_of_exactly_the_limit_is_kept(bench: &Bench) {
    let payload = vec![0xA5; bench.limits.payload_bytes];

    let id = bench.submit().payload(&payload).await;

    assert_eq!(bench.engine.read_execution_context(&id).await.unwrap().input_payload, payload);
}

pub async fn a_larger_input_is_refused_with_limit_and_size(bench: &Bench) {
    let limit = bench.limits.payload_bytes;

    let refused = bench.unchanged_by(bench.submit().payload(&vec![0; limit + 1]).answer()).await;

    let detail = refused.must_be_validation(&ValidationKind::PayloadTooLarge);
    assert!(detail.contains(&limit.to_string()), "{detail}");
    assert!(detail.contains(&(limit + 1).to_string()), "{detail}");
}

pub async fn an_input_is_bytes(bench: &Bench) {
    for payload in [&b"\x00\x00"[..], b"\xff\xfe not utf-8", b"", b"{\"json\":1}"] {
        let id = bench.submit().payload(payload).await;
        let context = bench.engine.read_execution_context(&id).await.unwrap();
        assert_eq!(context.input_payload, payload);
    }
}

pub async fn texts_up_to_their_limits_are_kept_and_longer_ones_refused(bench: &Bench) {
    let text = |bytes: usize| "x".repeat(bytes);
    for fits in [
        bench.submit().kind(&text(128)),
        bench.submit().namespace(&text(128)),
        bench.submit().creator(&text(256)),
        bench.submit().key(&text(256)),
        bench.submit().lane(&text(64)),
        bench.submit().tag(&text(128), &text(1_024)),
    ] {
        fits.await;
    }
    for (field, refused) in [
        ("execution_kind", bench.submit().kind(&text(129))),
        ("namespace", bench.submit().namespace(&text(129))),
        ("creator_identity", bench.submit().creator(&text(257))),
        ("idempotency_key", bench.submit().key(&text(257))),
        ("lane_id", bench.submit().lane(&text(65))),
        ("tag key", bench.submit().tag(&text(129), "")),
        ("value is 1025 bytes", bench.submit().tag("app.x", &text(1_025))),
    ] {
        let detail = bench.unchanged_by(refused.answer()).await.must_be_invalid();
        assert!(detail.contains(field), "{field}: {detail}");
    }
}

pub async fn a_lane_is_printable_ascii(bench: &Bench) {
    bench.submit().lane(" a~").await;

    for lane in ["", "tab\there", "caf\u{e9}", "del\u{7f}"] {
        bench.unchanged_by(bench.submit().lane(lane).answer()).await.must_be_invalid();
    }
}

pub async fn sixty_four_tags_are_kept_and_one_more_is_refused(bench: &Bench) {
    let with_tags = |count: u32| {
        (0..count).fold(bench.submit(), |submit, n| submit.tag(&format!("app.t{n}"), "v"))
    };

    let id = with_tags(64).await;

    assert_eq!(bench.summary(&id).await.tags.len(), 64);
    bench.unchanged_by(with_tags(65).answer()).await.must_be_invalid();
}

pub async fn a_policy_field_that_nothing_acts_on_is_refused_by_name(bench: &Bench) {
    let routing = |change: fn(&mut RoutingRequirements)| {
        bench.submit().policy(|policy| {
            change(policy.routing_requirements.get_or_insert_with(RoutingRequirements::default));
        })
    };
    for (field, refused) in [
        (
            "fallback_policy",
            bench.submit().policy(|policy| {
                policy.fallback_policy = Some(FallbackPolicy { tiers: Vec::new() });
            }),
        ),
        (
            "preferred_locality",
            routing(|routing| routing.preferred_locality = Some("eu".to_owned())),
        ),
        ("isolation_level", routing(|routing| routing.isolation_level = Some("vm".to_owned()))),
    ] {
        let refused = bench.unchanged_by(refused.answer()).await;
        let detail = refused.must_be_validation(&ValidationKind::InvalidPolicyJson);
        assert!(detail.contains(field), "{field}: {detail}");
    }
}

pub async fn a_retry_policy_that_cannot_work_is_refused(bench: &Bench) {
    let exponential = |initial_delay_ms, max_delay_ms, multiplier| RetryPolicy {
        max_retries: 1,
        backoff: BackoffStrategy::Exponential {
            initial_delay_ms,
            max_delay_ms,
            multiplier,
            jitter: false,
        },
        retryable_categories: Vec::new(),
    };
    for (what, policy) in [
        ("max_retries", fixed(1_001, 1)),
        ("delay_ms", fixed(1, TEN_YEARS_MS + 1)),
        ("multiplier", exponential(1, 2, 0.5)),
        ("multiplier", exponential(1, 2, f64::NAN)),
        ("max_delay_ms", exponential(3, 2, 2.0)),
        ("max_delay_ms", exponential(3, TEN_YEARS_MS + 1, 2.0)),
    ] {
        let refused = bench.unchanged_by(bench.submit().retries(policy).answer()).await;
        let detail = refused.must_be_validation(&ValidationKind::InvalidPolicyJson);
        assert!(detail.contains(what), "{what}: {detail}");
    }
    bench.submit().retries(fixed(1_000, TEN_YEARS_MS)).await;
}

pub async fn a_timeout_or_window_out_of_bounds_is_refused(bench: &Bench) {
    for ms in [0, TEN_YEARS_MS + 1] {
        for (field, refused) in [
            ("attempt_timeout_ms", bench.submit().attempt_timeout(ms)),
            (
                "execution_deadline_ms",
                bench.submit().timeouts(|timeouts| timeouts.execution_deadline_ms = Some(ms)),
            ),
            ("dedup_window_ms", bench.submit().policy(|policy| policy.dedup_window_ms = Some(ms))),
        ] {
            let refused = bench.unchanged_by(refused.answer()).await;
            let detail = refused.must_be_validation(&ValidationKind::InvalidPolicyJson);
            assert!(detail.contains(field), "{field}: {detail}");
        }
    }
}

pub async fn an_instant_more_than_ten_years_ahead_is_refused(bench: &Bench) {
    let (furthest, beyond) = (bench.after(TEN_YEARS_MS), bench.after(TEN_YEARS_MS + 1));
    bench.submit().delay_until(furthest).await;
    bench.submit().deadline(furthest).await;

    bench.unchanged_by(bench.submit().delay_until(beyond).answer()).await.must_be_invalid();
    bench.unchanged_by(bench.submit().deadline(beyond).answer()).await.must_be_invalid();
    let by_policy = bench.submit().policy(|policy| policy.delay_until = Some(beyond));
    bench.unchanged_by(by_policy.answer()).await.must_be_invalid();
}

pub async fn malformed_capabilities_are_refused_by_their_code(bench: &Bench) {
    let many: Vec<String> = (0..257).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (long, fits) = ("x".repeat(4_097), "x".repeat(4_096));
    for (code, tokens) in [
        ("required:empty_token", &[""][..]),
        ("required:comma_in_token", &["a,b"]),
        ("required:control_or_whitespace", &["a b"]),
        ("required:control_or_whitespace", &["a\u{7f}"]),
        ("required:too_many_tokens", &many),
        ("required:too_many_bytes", &[&long]),
    ] {
        let refused = bench.unchanged_by(bench.submit().needs(tokens).answer()).await;
        let detail = refused.must_be_validation(&ValidationKind::InvalidCapabilities);
        assert!(detail.starts_with(code), "{code}: {detail}");
    }
    bench.submit().needs(&many[..256]).await;
    bench.submit().needs(&[&fits]).await;
}

pub async fn a_create_registers_its_lane(bench: &Bench) {
    bench.submit().lane("new-lane").await;

    let lanes = bench.engine.list_lanes(None, 10).await.unwrap().lanes;

    assert_eq!(lanes.iter().map(|lane| lane.as_str()).collect::<Vec<_>>(), ["new-lane"]);
}

pub async fn a_create_announces_no_event(bench: &Bench) {
    bench.submit().await;

    assert!(bench.all_lease_events().await.is_empty());
    assert!(bench.all_completions().await.is_empty());
}

pub async fn a_lane_holds_a_thousand_and_twenty_four_capability_sets(bench: &Bench) {
    let mut batch: Vec<_> =
        (0..1_024).map(|n| bench.submit().needs(&[&format!("c{n}")]).args()).collect();
    let rest = batch.split_off(1_000);
    bench.engine.create_executions(batch).await.unwrap();
    bench.engine.create_executions(rest).await.unwrap();

    let refused = bench.submit().needs(&["one-more"]).answer().await;
    let detail = refused.must_be_validation(&ValidationKind::InvalidCapabilities);
    assert!(detail.starts_with("required:too_many_sets") && detail.contains(LANE), "{detail}");
    bench.submit().needs(&["c7"]).await;
    bench.submit().await;
    bench.submit().lane("other").needs(&["one-more"]).await;
}
