//! The list of behaviours, and how a backend joins them.
//!
//! The list exists once. [`suite!`](crate::suite!) makes a test of every entry, so that a backend
//! joins all of it or does not compile; a test below compares it with the sources, so that no
//! behaviour is written and forgotten.

/// Joins a backend: one test for each behaviour.
///
/// It takes the path of an `async fn open(setup: Setup) -> Bench` in the module where it stands.
/// Several variants of one backend join in a module each.
///
/// ```
/// mod in_memory {
///     use ff_backend_memory::MemoryOptions;
///     use ff_conformance::harness::{Bench, Setup};
///
///     async fn open(setup: Setup) -> Bench {
///         let options = MemoryOptions::default().clock(setup.clock.clone());
///         let backend = options.seed(setup.seed).limits(setup.limits.clone()).open();
///         let swept = backend.clone();
///         Bench::new(setup, backend, move || std::future::ready(swept.sweep()))
///     }
///
///     ff_conformance::suite!(open);
/// }
/// ```
#[macro_export]
macro_rules! suite {
    ($open:ident) => {
        $crate::behaviours! { tests $open }
    };
}

/// Hands the list of behaviours to one of the readings below.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviours {
    ($reading:ident $($argument:ident)?) => {
        $crate::behaviours_as! { $reading [$($argument)?]
            execution {
                batch {
                    a_batch_answers_in_its_order
                    one_refused_row_refuses_the_batch
                    a_refused_batch_names_its_row
                    a_batch_repeated_is_all_duplicates
                    a_key_counts_within_one_batch
                    an_empty_batch_is_nothing
                    a_batch_has_at_most_a_thousand_rows
                    a_batch_carries_at_most_eight_mebibytes
                }
                cancel {
                    a_waiting_execution_ends_cancelled
                    a_delayed_execution_ends_cancelled
                    a_running_execution_ends_and_its_worker_is_fenced
                    a_lapsed_execution_ends_cancelled
                    an_execution_waiting_for_its_retry_ends_cancelled
                    a_parked_attempt_ends_with_its_execution
                    cancelled_stays_cancelled_with_the_first_reason
                    another_end_is_refused_with_its_outcome
                    an_unknown_execution_is_not_found
                    whoever_is_no_operator_shows_the_lease_of_a_running_execution
                    whoever_is_no_operator_needs_no_lease_where_there_is_none
                    a_lapsed_lease_is_no_proof
                    a_worker_may_cancel_its_own_work
                    a_worker_without_the_lease_may_not
                    a_successors_cancel_is_no_answer_for_its_predecessor
                    a_reason_is_cut_at_its_limit
                }
                change_priority {
                    a_raised_execution_is_claimed_first
                    the_value_is_kept_within_its_bounds
                    the_same_value_again_is_accepted
                    what_is_not_in_line_cannot_be_moved
                    a_delayed_execution_can_be_moved_once_its_delay_is_over
                    an_unknown_execution_is_not_found
                }
                complete {
                    success_ends_the_execution_with_its_result
                    success_ends_the_lease_and_announces_one_completion
                    the_same_holder_may_ask_again
                    the_same_fence_may_ask_again
                    both_forms_are_one_operation
                    a_repeat_with_another_result_is_refused_with_the_stored_outcome
                    a_completion_after_another_end_is_refused_with_it
                    a_lease_is_good_until_its_last_millisecond
                    a_stale_lease_is_refused
                    any_difference_in_the_proof_is_stale
                    identity_is_checked_before_ownership
                    a_revoked_lease_is_refused
                    an_unknown_execution_is_not_found
                    without_a_fence_only_an_operator_is_let_through
                    an_operator_cannot_complete_a_lapsed_or_waiting_execution
                    a_result_is_bytes
                    an_empty_result_is_no_result
                    a_larger_result_is_refused_and_the_lease_stays
                    a_handle_of_another_backend_is_refused
                    a_handle_that_cannot_be_read_is_refused
                }
                create {
                    a_new_execution_waits_in_its_lane
                    everything_given_can_be_read_back
                    the_engines_clock_decides_when_it_was_created
                    the_same_id_again_is_a_duplicate
                    an_id_stays_a_duplicate_after_the_end
                    the_same_key_and_request_is_a_duplicate_of_the_first
                    a_key_counts_across_partitions
                    a_key_counts_within_its_namespace_only
                    a_key_with_another_payload_is_refused
                    a_key_with_another_kind_lane_or_policy_is_refused
                    a_key_reused_for_an_existing_id_is_still_refused
                    a_key_is_forgotten_exactly_at_the_end_of_its_window
                    a_sweep_does_not_forget_a_key_early
                    a_key_is_remembered_for_a_day_by_default
                    an_empty_key_is_no_key
                    a_priority_is_kept_within_its_bounds
                    the_policys_priority_counts_where_the_call_gives_none
                    a_delayed_execution_cannot_be_claimed_before_its_instant
                    a_sweep_brings_a_delayed_execution_into_line
                    a_delay_that_is_over_is_no_delay
                    an_input_of_exactly_the_limit_is_kept
                    a_larger_input_is_refused_with_limit_and_size
                    an_input_is_bytes
                    texts_up_to_their_limits_are_kept_and_longer_ones_refused
                    a_lane_is_printable_ascii
                    sixty_four_tags_are_kept_and_one_more_is_refused
                    a_policy_field_that_nothing_acts_on_is_refused_by_name
                    a_retry_policy_that_cannot_work_is_refused
                    a_timeout_or_window_out_of_bounds_is_refused
                    an_instant_more_than_ten_years_ahead_is_refused
                    malformed_capabilities_are_refused_by_their_code
                    a_create_registers_its_lane
                    a_create_announces_no_event
                    a_lane_holds_a_thousand_and_twenty_four_capability_sets
                }
                delay {
                    a_parked_attempt_waits_for_its_instant
                    the_same_attempt_goes_on_under_the_next_epoch
                    a_delay_ends_the_lease
                    a_delay_cannot_be_repeated
                    an_instant_that_has_passed_means_at_once
                    only_the_live_lease_may_delay
                    an_unknown_execution_is_not_found
                    a_delay_beyond_ten_years_is_refused
                    the_attempts_timeout_stands_still_while_it_is_parked
                    a_deadline_does_not_stand_still
                }
                explain {
                    what_waits_for_a_worker_has_its_place_in_line
                    a_place_in_line_follows_priority_and_is_among_those_with_the_same_needs
                    what_is_due_stands_in_line_from_its_instant_on
                    an_end_that_is_due_is_told_as_such_until_it_is_stored
                    a_delay_a_run_and_an_end_are_told
                    a_lease_that_runs_out_is_told_from_its_instant_on
                    a_revoked_lease_leaves_it_in_line
                    a_suspension_names_its_waitpoints_since_when_and_until_when
                    a_suspension_opens_by_itself_only_where_its_timeout_resumes
                    a_resumed_execution_waits_at_no_waitpoint
                    a_member_of_a_cancelled_flow_shows_that_gate_whether_or_not_a_sweep_ran
                    a_member_that_the_cancel_of_its_flow_leaves_alone_says_so
                    a_blocked_member_names_the_upstreams_it_still_waits_for
                    a_worker_that_fits_is_free_then_busy_then_gone
                    needs_that_nobody_ever_offered_are_named
                    a_worker_of_another_lane_or_namespace_does_not_fit
                    a_spent_budget_is_told_with_its_counts_before_any_claim_met_it
                    a_spent_budget_opens_at_its_reset
                    a_full_quota_is_told_with_its_holders
                    a_paused_lane_and_unknown_workers_are_told
                    an_unknown_execution_is_not_found
                }
                fail {
                    without_a_policy_a_failure_is_final
                    with_a_retry_left_the_execution_waits_for_it
                    a_retry_is_due_at_its_instant_and_not_before
                    a_fixed_backoff_waits_the_same_each_time
                    an_exponential_backoff_doubles_up_to_its_cap
                    jitter_stays_in_the_upper_half_of_the_delay
                    no_retries_means_none
                    permanent_and_cancelled_failures_are_never_retried
                    every_other_class_is_retried
                    no_detail_turns_a_permanent_failure_into_a_retry
                    only_listed_categories_are_retried
                    a_listed_permanent_category_is_still_final
                    the_same_holder_hears_the_same_answer_again
                    another_reason_is_not_a_repeat
                    a_failure_after_a_delay_is_refused
                    a_failure_after_a_completion_is_refused_with_it
                    a_lapsed_lease_cannot_fail
                    a_stale_or_revoked_lease_cannot_fail
                    an_unknown_execution_is_not_found
                    the_typed_form_tells_the_next_attempt
                    a_policy_given_with_the_failure_overrides_the_stored_one
                    a_malformed_policy_is_refused_and_the_lease_stays
                    without_a_fence_only_an_operator_is_let_through
                    a_very_long_reason_is_cut_and_marked
                    a_reclaim_does_not_use_up_a_retry
                }
                list {
                    pages_together_are_the_whole_set
                    the_last_page_has_no_cursor
                    a_page_of_nothing_is_empty
                    a_page_holds_at_most_a_thousand
                    what_comes_behind_the_cursor_is_seen
                    a_search_without_filters_finds_everything_in_order
                    a_search_goes_by_time_of_creation_across_partitions
                    twins_in_several_partitions_are_each_found_once
                    each_filter_narrows_the_search
                    a_creation_window_includes_its_start_and_not_its_end
                    a_search_by_state_follows_every_change
                    a_malformed_cursor_is_refused
                    a_malformed_partition_is_refused
                }
                progress {
                    what_is_given_is_stored_and_the_rest_stays
                    a_hundred_percent_is_the_most
                    nothing_given_writes_nothing_and_still_checks_the_lease
                    progress_is_no_event_and_no_transition
                    only_the_live_lease_may_tell_progress
                    an_unknown_execution_is_not_found
                }
                read {
                    a_missing_execution_reads_as_none
                    a_read_that_cannot_say_none_names_the_execution
                    a_uuid_in_another_partition_is_another_execution
                    attempts_are_counted_and_indexed_from_zero
                    a_description_shows_attempt_and_lease
                    a_description_without_a_lease_shows_none
                    a_mutation_is_stamped
                    the_first_start_is_kept
                    a_result_is_none_until_the_end
                    an_attempt_tells_its_whole_story
                    transitions_tell_every_change_of_state
                    transitions_are_read_in_pages
                    an_execution_is_found_by_the_beginning_of_its_uuid
                }
                replay {
                    an_ended_execution_waits_again
                    its_next_claim_is_a_new_attempt_of_type_replay
                    every_kind_of_end_can_be_replayed
                    what_has_not_ended_cannot_be_replayed
                    a_replay_cannot_be_repeated_while_it_runs
                    the_policy_caps_replays
                    ten_replays_are_the_default_cap
                    an_unknown_execution_is_not_found
                    a_replay_has_all_its_retries_again
                    each_run_has_exactly_one_completion
                    the_first_runs_worker_is_fenced
                    a_deadline_that_passed_does_not_end_the_new_run
                    a_deadline_of_the_policy_starts_anew
                }
                retention {
                    an_ended_execution_is_removed_exactly_when_its_retention_is_over
                    everything_stored_about_it_goes
                    every_kind_of_end_is_removed
                    what_lives_is_never_removed
                    a_replay_starts_the_retention_anew
                    its_events_stay_for_their_own_time
                    its_id_may_be_used_again
                    a_long_backlog_is_removed_in_bounded_steps
                }
                tag {
                    a_tag_is_stored_and_overwritten
                    the_same_tag_again_writes_nothing
                    a_tag_can_be_set_in_any_state
                    a_tag_does_not_disturb_the_lease
                    a_malformed_key_is_refused_before_anything_else
                    a_tag_on_nothing_is_not_found_and_reads_as_none
                    the_limits_of_a_tag_hold
                    the_sixty_fifth_tag_is_refused
                }
                timeout {
                    an_attempt_times_out_at_its_instant_and_not_before
                    a_timeout_counts_before_any_sweep
                    a_timeout_goes_through_the_retry_policy
                    a_timeout_is_retried_only_where_its_category_is_listed
                    a_renewal_does_not_move_the_timeout
                    each_attempt_has_the_whole_timeout
                    a_waiting_execution_has_no_attempt_to_time_out
                    a_deadline_expires_a_waiting_execution_at_its_instant
                    a_claim_never_takes_what_is_past_its_deadline
                    a_deadline_ends_a_running_attempt
                    a_deadline_ends_a_delayed_a_lapsed_and_a_retrying_execution
                    the_earlier_of_both_deadlines_counts
                    a_deadline_after_the_end_changes_nothing
                    what_was_due_first_happens_first
                }
            }
            lease {
                capabilities {
                    an_execution_goes_only_to_a_worker_that_has_all_it_needs
                    a_worker_with_more_takes_what_needs_nothing
                    what_a_worker_cannot_run_never_hides_what_it_can
                    five_hundred_alike_do_not_hide_one_either
                    a_lapsed_execution_still_needs_its_capabilities
                    a_claimed_executions_set_makes_room_for_another
                }
                check {
                    each_handle_gets_its_answer_in_order
                    a_lease_is_lost_from_its_expiry_on
                    a_cancel_a_revoke_and_a_successor_are_noticed
                    a_timeout_or_deadline_that_passed_is_noticed_before_any_sweep
                    at_most_a_thousand_handles_are_checked_at_once
                }
                claim {
                    an_empty_lane_has_nothing
                    a_claim_makes_the_worker_the_owner
                    a_claimed_execution_is_nobody_elses
                    an_ended_execution_is_never_claimed
                    one_of_many_claims_wins
                    many_claims_take_each_execution_once
                    the_epoch_rises_with_every_acquisition
                    only_acquisitions_raise_the_epoch
                    every_acquisition_has_its_own_lease_id
                    a_lease_lasts_from_one_millisecond_to_a_day
                    a_workers_malformed_capabilities_are_refused_by_their_code
                    a_workers_name_is_at_most_256_bytes
                }
                claim_batch {
                    a_batch_takes_up_to_its_maximum_in_order
                    the_best_goes_first_across_lanes
                    a_lane_named_twice_counts_once
                    claimed_work_comes_with_everything_a_worker_needs
                    a_batch_has_one_to_256_members_and_a_lane
                    a_full_batch_is_256
                    a_paused_lane_is_left_out
                }
                claim_execution {
                    a_grant_becomes_a_lease_with_the_ids_given
                    a_grant_is_good_through_its_last_instant
                    a_late_grant_is_refused
                    no_grant_and_another_workers_grant_are_refused
                    a_repeat_is_refused
                    a_grant_is_used_up_by_its_claim
                    what_is_not_in_line_is_not_leaseable
                    an_interrupted_attempt_is_not_claimed_this_way
                    its_own_timeout_and_deadline_count
                    a_duration_out_of_bounds_is_refused
                }
                claim_for_worker {
                    an_empty_lane_has_no_work
                    the_best_execution_is_reserved_and_can_be_claimed
                    reserved_executions_are_passed_over
                    a_hundred_reserved_ones_do_not_hide_the_next
                    a_worker_sees_what_it_can_run_behind_what_it_cannot
                    what_is_due_comes_first_into_line
                    a_paused_lane_has_no_work
                    malformed_arguments_are_refused
                }
                claim_order {
                    higher_priority_goes_first
                    among_equals_the_oldest_goes_first
                    among_twins_the_smaller_id_goes_first
                    partitions_do_not_disturb_the_order
                    capability_sets_do_not_disturb_the_order
                    a_retry_comes_back_to_its_old_place
                    a_lapsed_execution_is_claimed_in_its_lanes_order
                    a_delayed_execution_keeps_its_age
                    lanes_are_apart
                }
                claim_wait {
                    a_wait_ends_with_nothing_when_its_time_is_over
                    work_that_is_there_is_not_waited_for
                    a_submit_wakes_a_waiting_worker
                    a_batch_of_submits_wakes_a_waiting_worker
                    a_lease_given_back_wakes_a_waiting_worker
                    a_revoked_lease_wakes_a_waiting_worker
                    a_replay_wakes_a_waiting_worker
                    a_lane_that_opens_wakes_a_waiting_worker
                    a_sweep_that_finds_a_lapsed_lease_wakes_a_waiting_worker
                    a_batch_claim_waits_for_its_first_and_not_for_more
                }
                expiry {
                    a_lease_expires_at_its_instant_and_not_before
                    a_claim_reclaims_it_without_any_sweep
                    the_lost_attempt_ends_and_a_new_one_begins
                    a_sweep_repeated_changes_nothing
                    reclaims_beyond_the_cap_end_the_execution
                    a_cap_of_zero_allows_no_reclaim
                    the_timeout_policys_cap_counts_too
                    an_exhausted_execution_does_not_hide_the_next_one
                    a_lapsed_attempt_does_not_time_out
                    many_lapsed_leases_are_settled_in_bounded_steps
                }
                grant {
                    a_granted_execution_stays_in_line
                    a_standing_grant_refuses_another
                    a_grant_stands_through_its_last_instant
                    a_sweep_takes_no_grant_that_stands
                    what_is_not_in_line_gets_no_grant
                    missing_capabilities_are_named_sorted
                    malformed_capabilities_are_refused
                    a_grants_life_is_bounded
                    an_unknown_execution_is_not_found
                }
                issue_grant_and_claim {
                    an_operator_takes_an_execution
                    it_leaves_no_grant
                    a_standing_grant_refuses_it
                    an_interrupted_attempt_goes_on
                    what_is_not_in_line_is_refused
                    a_repeat_is_refused
                    an_unknown_execution_is_not_found
                    a_duration_out_of_bounds_is_refused
                }
                list_expired {
                    a_lease_is_listed_from_its_expiry_on_swept_or_not
                    the_question_may_be_about_another_instant
                    only_leases_that_wait_for_a_reclaim_are_listed
                    pages_follow_expiry_then_id
                    a_page_of_nothing_is_empty
                    a_namespace_narrows_the_list
                }
                reclaim {
                    a_grant_is_redeemed_into_a_reclaim
                    a_revoked_lease_can_be_granted_too
                    what_is_not_lapsed_cannot_be_granted
                    an_unknown_execution_is_not_found
                    a_standing_grant_refuses_another_until_its_instant
                    a_grant_is_void_from_its_expiry_on
                    without_a_grant_of_its_own_nobody_reclaims
                    a_grant_is_used_up_by_its_reclaim
                    a_grant_does_not_steal_from_a_successor
                    a_worker_that_cannot_run_it_gets_no_grant
                    at_the_cap_there_is_no_grant_and_a_reclaim_ends_the_execution
                    the_callers_cap_counts_where_no_policy_has_one
                    durations_out_of_bounds_are_refused
                }
                release {
                    a_lease_given_back_can_be_claimed_at_once
                    it_counts_as_neither_retry_nor_reclaim
                    it_is_announced_with_its_cause
                    it_cannot_be_repeated
                    only_the_live_lease_can_be_given_back
                    the_rest_of_the_attempts_timeout_stays
                }
                renew {
                    a_renewal_counts_from_now_and_keeps_the_epoch
                    a_renewal_may_be_repeated
                    a_lease_lives_as_long_as_it_is_renewed
                    a_lease_is_void_from_its_expiry_on
                    the_typed_form_sets_its_own_duration
                    the_typed_form_needs_a_fence_whoever_asks
                    a_duration_out_of_bounds_is_refused
                    a_replaced_lease_is_refused_by_its_form
                    any_difference_in_the_fence_is_stale
                    a_revoked_lease_cannot_be_renewed
                    an_ended_execution_has_no_lease_to_renew
                    an_unknown_execution_is_not_found
                    a_handle_of_another_backend_is_refused_everywhere
                }
                revoke {
                    a_revoked_lease_is_gone_and_the_execution_waits_for_a_reclaim
                    the_next_claim_reclaims_it
                    a_matching_holder_and_lease_are_accepted
                    another_lease_than_the_expected_one_is_stale
                    another_holder_is_already_satisfied
                    a_repeat_is_already_satisfied
                    a_lapsed_lease_is_already_satisfied
                    what_is_not_active_has_no_lease_to_revoke
                    an_unknown_execution_is_not_found
                    a_revoked_attempt_does_not_time_out
                }
            }
            event {
                completion {
                    each_kind_of_end_has_its_word
                    what_has_not_ended_has_none
                    repeats_add_none
                    the_end_and_its_completion_share_an_instant
                    a_subscriber_that_waits_is_woken
                    filters_narrow_completions
                    many_ends_are_all_seen
                }
                cursor {
                    a_subscriber_resumes_behind_any_event
                    cursors_rise
                    an_empty_cursor_means_from_now_on
                    nothing_is_lost_between_subscribing_and_reading
                    filtered_events_move_the_cursor
                    a_malformed_cursor_is_refused
                    a_cursor_ahead_of_every_event_is_refused
                    a_cursor_older_than_the_oldest_event_kept_is_refused
                    a_cursor_at_the_edge_of_what_is_kept_is_accepted
                    a_slow_reader_hears_of_the_gap
                }
                lease_history {
                    every_event_names_execution_lease_holder_and_instant
                    every_end_of_a_lease_tells_its_cause
                    events_come_in_the_order_of_what_happened
                    a_refusal_announces_nothing
                    a_namespace_narrows_the_history
                    an_instance_tag_narrows_the_history
                    a_filter_on_a_tag_that_events_do_not_carry_is_refused
                }
                operator {
                    a_changed_priority_is_told_with_both
                    a_replay_is_told_with_its_branch
                    the_replay_of_a_skipped_member_opens_its_group
                    the_cancel_of_a_flow_is_told_with_what_it_reaches
                    what_changes_nothing_is_not_told
                    a_subscriber_resumes_behind_any_change
                    a_subscriber_that_waits_is_woken_from_now_on
                    a_filter_passes_over_other_changes
                    a_malformed_cursor_and_one_of_another_store_are_refused
                    a_cursor_older_than_the_oldest_change_kept_is_refused
                    a_list_has_what_is_there_and_says_where_it_goes_on
                    a_list_from_now_on_is_empty
                    a_list_with_a_filter_moves_behind_what_it_passes_over
                    a_list_begins_with_the_oldest_change_kept
                    a_list_refuses_the_cursors_that_a_subscription_refuses
                }
            }
            flow {
                apply {
                    a_downstream_in_line_waits_and_is_released
                    an_upstream_that_ended_before_settles_the_edge_at_once
                    a_running_downstream_is_not_stopped
                    an_edge_that_was_not_drawn_is_not_found
                    eligibility_is_told_in_words
                }
                cancel {
                    every_member_ends_fenced_and_with_one_completion
                    nothing_of_a_large_cancelled_flow_begins_or_ends_otherwise
                    pending_members_end_and_running_ones_go_on
                    a_member_that_went_on_gets_no_further_attempt
                    a_member_that_went_on_ends_with_its_revoked_lease
                    a_member_whose_lease_is_over_is_pending_though_no_sweep_noticed
                    a_header_lists_a_member_whose_attempt_took_too_long
                    a_lost_member_that_waits_behind_a_gate_ends
                    flow_only_closes_the_flow_and_touches_no_member
                    a_flow_is_cancelled_once
                    a_wait_is_over_when_every_member_has_ended
                    a_wait_that_is_over_too_early_is_told_and_the_cancel_goes_on
                    a_header_lists_its_members_until_they_are_acknowledged
                    a_header_with_an_unknown_policy_or_flow_is_refused
                    a_member_of_a_cancelled_flow_cannot_be_replayed
                }
                join {
                    all_upstreams_must_succeed
                    the_first_of_any_is_enough_and_starts_it_once
                    cancel_remaining_reaches_every_loser_once_and_fences_it
                    a_loser_claimed_beside_the_end_that_decides_is_not_handed_out
                    let_run_leaves_the_losers_alone
                    a_quorum_is_met_by_its_kth_success
                    a_quorum_is_impossible_as_soon_as_too_few_are_left
                    a_quorum_drawn_by_hand_over_upstreams_that_have_ended_is_met
                    a_quorum_with_too_few_edges_says_so
                    a_late_failure_does_not_undo_a_satisfied_group
                    a_policy_is_set_until_an_edge_counts
                    a_loser_that_is_fenced_cannot_renew
                }
                list {
                    flows_are_listed_by_id_in_pages
                    flows_are_found_by_state_kind_and_tag
                    a_flow_is_found_by_the_beginning_of_its_id
                }
                member {
                    a_flow_is_made_once
                    a_member_is_added_once
                    a_member_of_another_flow_is_refused
                    what_is_missing_is_not_found
                    a_flow_is_open_running_blocked_and_then_ends_with_its_last_member
                    one_bad_end_makes_the_flow_failed
                    a_bad_end_that_a_join_does_without_does_not
                    a_flow_that_has_ended_takes_no_member
                    one_that_has_ended_ends_the_flow_in_which_nobody_is_left
                    a_flow_ends_by_its_last_member_s_deadline_too
                    tags_are_set_and_read
                }
                replay {
                    a_skipped_member_runs_once_its_upstreams_have_succeeded
                    a_skipped_member_whose_upstream_still_stands_failed_is_skipped_again
                    what_an_earlier_run_of_an_upstream_said_counts_no_more
                    dependants_of_a_replayed_upstream_are_not_run_again
                    a_quorum_starts_its_count_anew
                    a_member_that_ran_is_in_line_at_once
                    a_join_met_by_the_replay_itself_cancels_the_losers
                }
                resolve {
                    a_skip_runs_down_the_whole_chain
                    each_way_of_ending_badly_skips_the_dependants
                    an_upstream_that_is_retried_decides_nothing
                    a_fan_out_of_more_than_one_step_is_seen_by_the_next_claim
                    settling_an_edge_again_changes_nothing
                    an_edge_is_settled_by_its_own_upstream_only
                }
                retention {
                    an_upstream_is_kept_while_its_flow_goes_on
                    others_are_not_kept_by_a_flow_that_goes_on
                    an_edge_from_an_upstream_that_is_gone_is_refused
                }
                spawn {
                    a_child_is_in_line_in_the_flow_of_its_parent
                    its_parent_waits_for_a_child_that_it_joins
                    a_child_without_a_flow_is_an_execution_like_any_other
                    a_join_without_a_flow_is_refused
                    without_a_live_lease_nothing_is_stored
                    a_flow_that_was_cancelled_takes_no_child
                    what_a_create_refuses_is_refused_whole
                    a_repeat_by_key_or_id_is_the_same_child
                    a_key_of_something_else_is_refused
                }
                stage {
                    an_edge_is_drawn_against_the_expected_revision
                    edges_are_listed_by_their_ends
                    a_cycle_is_refused_however_long_it_is
                    wrong_ends_are_refused
                    an_edge_id_is_used_once
                }
                submit {
                    roots_are_claimable_and_the_others_wait
                    a_diamond_runs_from_its_root_to_its_end
                    the_same_graph_again_is_a_duplicate
                    a_cycle_is_refused_by_its_node
                    a_graph_that_cannot_run_is_refused_and_leaves_nothing
                    a_delayed_node_waits_for_both
                    a_result_is_passed_down_an_edge_that_asks_for_it
                    a_graph_shows_its_nodes_and_what_became_of_its_edges
                }
                wait_children {
                    without_children_it_goes_on_at_once
                    it_goes_on_when_every_child_has_succeeded
                    a_child_that_fails_wakes_it_and_does_not_skip_it
                    after_a_child_that_failed_it_waits_for_the_others
                    its_lease_has_ended
                }
            }
            lane {
                list {
                    lanes_are_listed_by_name_in_pages
                    a_page_of_nothing_is_empty
                    without_work_there_is_no_lane
                }
                state {
                    a_paused_lane_hands_out_nothing_until_it_is_resumed
                    what_runs_goes_on
                    other_lanes_go_on
                    a_paused_lane_still_takes_work_in
                    the_same_state_again_is_nothing
                    a_state_that_no_rule_knows_is_refused
                    a_malformed_lane_is_refused
                    a_lapsed_execution_of_a_paused_lane_is_not_reclaimed
                }
                status {
                    a_lane_counts_what_waits_what_is_delayed_and_what_runs
                    a_lapsed_execution_counts_as_waiting
                    what_is_parked_is_counted_and_may_be_the_oldest
                    an_empty_lane_is_still_shown
                    more_than_a_thousand_lanes_are_all_shown
                }
            }
            budget {
                bind_quota {
                    a_binding_is_made_once_and_ended_once
                    what_is_not_there_cannot_be_bound
                    what_runs_goes_on_without_a_slot
                    an_execution_let_go_comes_back_into_line
                    a_lane_let_go_hands_out_all_it_has
                }
                breach {
                    what_was_spent_is_kept_as_overage
                    an_overage_that_cannot_be_added_is_refused_and_breaches_nothing
                    without_another_word_it_runs_on_and_no_new_work_starts
                    suspended_it_goes_on_after_a_top_up_with_the_same_attempt
                    it_is_cancelled_where_the_budget_says_so
                    it_fails_where_the_budget_says_so_and_is_not_retried
                    an_execution_that_is_not_bound_to_the_budget_runs_on
                    a_lost_worker_s_report_ends_nobody_else_s_work
                }
                check_admission {
                    a_policy_is_stored_once_and_its_limits_are_read
                    limits_that_do_not_fit_are_refused
                    one_more_than_the_rate_waits_for_the_window_to_slide
                    jitter_is_added_to_the_wait
                    the_same_execution_is_admitted_once_a_window
                    a_released_slot_goes_to_the_next_and_twice_is_once
                    the_rate_is_not_refunded
                    the_end_of_an_execution_frees_its_reservation
                    the_reservation_of_an_execution_that_is_forgotten_stays_free
                    a_cap_on_an_unknown_policy_stores_one_without_limits
                }
                create_budget {
                    everything_given_can_be_read_back
                    a_known_id_changes_nothing
                    vectors_of_different_lengths_are_refused
                    a_limit_that_does_not_fit_is_refused
                    an_unknown_budget_is_not_found_and_its_limits_are_empty
                    budgets_are_listed_by_id_in_pages
                }
                gate {
                    a_spent_budget_parks_what_is_bound_to_it
                    one_below_the_limit_is_room
                    a_top_up_opens_the_budget_to_the_next_claim
                    usage_given_back_opens_the_budget
                    a_reset_opens_the_budget_at_its_instant
                    a_budget_that_does_not_exist_lets_nothing_through_until_it_does
                    a_slot_is_taken_by_a_lease_and_freed_by_its_end
                    whatever_ends_a_lease_frees_its_slot
                    a_dead_worker_s_slot_is_free_at_the_instant_its_lease_ends
                    a_lost_lease_waits_for_a_slot_and_its_reclaim_is_counted
                    the_window_slides_open_at_its_instant
                    every_lease_counts_in_the_window
                    no_more_come_back_than_there_is_room_for_and_in_line_order
                    a_batch_takes_what_there_is_room_for
                    other_lanes_and_other_work_go_on
                    an_execution_is_held_to_its_own_quota_and_to_its_lane_s
                    a_waiting_worker_is_woken_by_a_freed_slot
                    a_named_execution_does_not_pass_a_closed_gate
                    a_scheduler_is_granted_nothing_behind_a_closed_gate
                    a_parked_execution_can_be_cancelled_and_expires
                    a_sweep_puts_back_what_there_is_room_for
                    an_admission_under_a_shorter_window_shortens_nobody_else_s
                    an_overage_that_is_dropped_opens_the_budget
                }
                report_usage {
                    the_hard_limit_itself_is_within_and_one_more_is_a_breach
                    beyond_a_soft_limit_the_usage_is_applied
                    all_dimensions_apply_or_none
                    a_dimension_named_twice_adds_up
                    vectors_of_different_lengths_are_refused
                    an_amount_that_does_not_fit_is_refused_and_never_wraps
                    the_same_key_counts_once_for_a_day
                    a_key_counts_within_its_budget_only
                    a_breach_is_not_remembered_under_its_key
                    an_unknown_budget_counts_without_limits
                    a_worker_reports_tokens_and_time_by_their_names
                    a_stale_handle_reports_nothing
                    an_ended_execution_reports_nothing
                    what_an_execution_spent_is_given_back_once
                    what_was_spent_before_a_reset_is_not_given_back_from_fresh_usage
                }
                reservation {
                    the_end_of_an_execution_with_a_reservation_opens_the_quota
                    a_reservation_does_not_keep_its_own_execution_waiting
                    whoever_has_a_reservation_passes_whoever_waits_for_one
                    a_batch_takes_those_with_a_reservation_and_parks_the_first_without
                    a_reservation_passes_a_full_window
                    a_reservation_that_is_over_passes_nobody
                    a_reservation_may_be_older_than_its_execution
                    a_waiting_worker_is_woken_by_a_reservation
                    a_scheduler_is_granted_whoever_has_a_reservation
                    only_reservations_stand_before_a_reservation_on_a_full_lane
                }
                reset_budget {
                    every_counter_is_zero_and_breaches_stay_counted
                    a_reset_on_request_begins_a_new_interval
                    an_unknown_budget_is_not_found
                    the_interval_resets_at_its_instant_and_not_before
                    lateness_does_not_move_the_following_resets
                }
                set_budget_limits {
                    a_limit_is_set_raised_and_kept
                    no_limit_raised_is_still_no_limit
                    a_limit_that_does_not_fit_is_refused
                    an_unknown_budget_is_not_found
                }
            }
            suspension {
                condition {
                    all_of_resumes_on_the_last_whatever_the_order
                    two_people_are_two_sources
                    counts_beside_each_other_count_apart
                    any_of_is_a_count_of_one
                    conditions_nest_to_the_fourth_level
                    a_name_is_exact_and_an_unmatched_signal_is_kept
                    no_signal_ends_what_waits_for_an_operator
                }
                deliver {
                    a_forged_or_foreign_token_is_refused_and_leaves_no_trace
                    the_same_key_at_the_same_waitpoint_counts_once
                    the_same_signal_id_is_the_same_signal
                    signals_are_bounded_and_a_repeat_at_the_bound_is_a_duplicate
                    a_payload_is_bounded_and_is_bytes
                    an_ended_execution_takes_no_signal
                    a_resume_may_be_delayed_by_its_signal
                    a_person_approves_without_a_token_and_once
                    an_operator_answers_with_a_payload
                    no_token_shows_in_what_is_printed
                }
                event {
                    every_accepted_signal_is_told_once_with_its_effect
                    a_filter_passes_over_others
                    a_malformed_cursor_is_refused
                }
                key {
                    the_first_wait_seeds_a_key_by_itself
                    a_seeded_key_signs
                    a_rotated_out_key_counts_until_its_grace_ends_exactly
                    rotating_to_the_current_key_is_nothing_and_to_an_old_one_brings_it_back
                    malformed_keys_are_refused_as_a_whole
                    two_suspensions_have_tokens_of_their_own
                }
                list {
                    open_waitpoints_are_listed_by_id_in_pages
                    a_listed_waitpoint_shows_what_it_takes_and_not_its_token
                    a_waitpoint_whose_end_has_come_is_not_listed_before_it_is_swept
                    suspended_executions_are_listed_by_partition_in_pages
                    what_waits_is_listed_with_its_waitpoints
                }
                resume {
                    an_operator_resumes_and_the_signals_so_far_are_seen
                    a_resume_delay_elapses
                    what_is_not_suspended_cannot_be_resumed
                    a_resumed_execution_is_claimed_by_name
                    a_grant_keeps_it_for_its_worker
                    a_resume_grant_revives_nobody
                    a_resume_grant_takes_over_a_lost_lease
                }
                suspend {
                    a_suspended_execution_gives_its_lease_back_and_waits
                    a_signal_resumes_the_same_attempt_under_the_next_epoch
                    a_batch_claim_brings_the_signals_along
                    the_attempts_timeout_stands_still_while_it_waits
                    only_the_live_lease_may_suspend
                    a_triple_suspends_as_its_handle_does
                    the_same_key_is_the_same_suspension
                    a_key_counts_within_its_execution_only
                    a_later_lease_that_asks_with_the_key_goes_on_with_its_signals
                    a_key_is_remembered_beyond_the_wait_that_it_began
                    a_new_run_waits_anew_under_the_same_key
                    malformed_suspends_are_refused_by_their_rule
                    what_a_resume_policy_cannot_have_is_refused_by_name
                    a_waitpoint_id_belongs_to_its_first_owner
                    an_attempt_may_wait_again_and_sees_the_signals_of_its_last_wait
                    the_policys_timeout_counts_where_the_call_gives_none
                    each_reason_has_its_block
                }
                timeout {
                    each_behaviour_ends_or_resumes_at_its_instant_and_not_before
                    a_claim_finds_what_a_timeout_resumed_with_its_signal
                    an_escalated_suspension_waits_for_an_operator
                    a_satisfied_suspension_does_not_time_out
                    a_deadline_ends_a_suspension
                    a_forgotten_execution_takes_its_waiting_along
                }
                waitpoint {
                    an_early_signal_waits_and_satisfies_the_suspension_that_adopts_it
                    early_signals_count_for_every_kind_of_condition
                    early_signals_are_not_counted_twice
                    an_adopted_waitpoint_keeps_its_token
                    a_pending_waitpoint_ends_at_its_instant_and_not_before
                    only_the_live_lease_makes_one
                    keys_and_ends_are_bounded
                    only_what_this_attempt_made_is_adopted
                    every_end_of_the_execution_closes_its_waitpoints
                    its_token_can_be_read_while_it_is_open
                }
            }
            stream {
                append_frame {
                    a_frame_is_appended_and_counted
                    ids_rise_with_time_and_within_an_instant
                    a_frame_says_what_it_is
                    any_bytes_survive
                    a_frame_has_at_most_64_kibibytes
                    a_type_and_a_correlation_id_have_limits
                    a_lease_may_append_until_its_last_millisecond
                    any_difference_in_the_proof_is_stale
                    a_lost_lease_appends_nothing
                    after_the_end_the_stream_is_closed
                    an_unknown_execution_has_a_closed_stream
                    a_parked_attempt_goes_on_with_its_stream
                    each_attempt_has_a_stream_of_its_own
                    a_frame_is_neither_event_nor_transition
                    a_repeat_appends_again
                    many_appends_at_once_are_dense_and_ordered
                    a_handle_of_another_backend_is_refused
                    the_policy_says_how_many_durable_frames_stay
                    sixty_four_patches_stay_and_the_document_keeps_all
                    best_effort_frames_stay_for_about_their_ttl
                    best_effort_frames_never_push_out_durable_ones
                    a_stream_of_best_effort_frames_goes_when_it_falls_silent
                    what_fell_silent_does_not_come_back_with_the_next_frame
                    one_durable_frame_keeps_the_stream_for_good
                    a_ttl_of_nought_is_refused
                    a_stream_goes_with_its_execution
                }
                read_stream {
                    a_range_includes_both_ends
                    a_bare_millisecond_means_all_of_it
                    places_between_frames_are_places
                    pages_together_are_the_whole_stream
                    a_page_has_one_to_ten_thousand_frames
                    a_page_ends_after_eight_mebibytes
                    a_malformed_place_is_refused
                    a_stream_that_is_not_there_is_empty_and_open
                    the_same_id_in_another_partition_has_another_stream
                    each_end_of_an_attempt_closes_with_its_reason
                    a_lapsed_attempt_closes_with_its_reclaim
                    too_many_reclaims_close_with_the_lease
                    a_deadline_closes_at_its_instant_swept_or_not
                    a_replay_leaves_the_first_runs_stream_closed
                }
                read_summary {
                    without_a_patch_there_is_none
                    versions_rise_by_one_and_times_tell_first_and_last
                    patches_merge_delete_and_store_null
                    a_patch_is_a_frame_too
                    what_is_no_patch_is_refused_and_changes_nothing
                    a_document_has_at_most_256_kibibytes
                    each_attempt_has_a_summary_of_its_own
                }
                retention {
                    the_frames_of_an_ended_attempt_go_at_their_instant
                    an_attempt_that_goes_on_keeps_its_frames
                    each_attempt_has_a_time_of_its_own
                    a_long_stream_goes_in_bounded_steps
                    without_a_time_frames_stay_with_their_execution
                }
                tail_stream {
                    what_is_there_is_answered_at_once
                    without_a_wait_nothing_is_waited_for
                    a_frame_wakes_a_waiting_tail
                    every_tail_of_a_stream_is_woken
                    a_tail_follows_to_the_end
                    the_end_wakes_a_waiting_tail
                    a_reclaim_wakes_the_tail_of_the_lost_attempt
                    a_sweep_that_ends_an_attempt_wakes_its_tail
                    a_closed_stream_is_not_waited_for
                    a_tail_waits_for_an_attempt_to_come
                    other_streams_do_not_end_the_wait
                    frames_that_are_not_shown_do_not_end_the_wait
                    best_effort_frames_are_left_out_before_the_limit_counts
                    a_tail_resumes_behind_any_frame
                    a_place_that_is_no_frame_is_refused
                    a_tail_may_be_given_up
                }
            }
            worker {
                heartbeat {
                    a_heartbeat_counts_from_now
                    a_heartbeat_is_too_late_from_the_instant_on
                    who_is_unknown_has_to_register
                    a_sweep_removes_who_fell_silent_and_nobody_else
                    many_are_swept_in_bounded_steps
                    leases_come_back_whatever_the_register_says
                    a_heartbeat_keeps_no_lease
                }
                list {
                    pages_together_are_everybody
                    only_the_living_are_listed
                    namespaces_are_apart
                    a_page_of_nothing_is_empty
                    the_status_tells_what_each_holds
                }
                mark_dead {
                    a_dead_worker_is_gone_and_may_come_back
                    a_repeat_finds_nobody
                    its_leases_are_not_touched
                    a_reason_is_short_and_printable
                }
                register {
                    a_worker_is_listed_with_what_it_said
                    registering_again_refreshes_and_keeps_the_age
                    one_that_fell_silent_begins_anew
                    an_instance_belongs_to_one_worker_while_it_lives
                    what_is_out_of_bounds_is_refused
                    who_is_not_registered_may_work
                }
            }
            admin {
                service {
                    it_gives_a_sign_of_life
                    its_name_is_the_same_everywhere
                    it_is_itself_for_who_knows_its_type
                    it_has_every_operation_it_claims
                    an_operation_it_does_not_claim_is_unavailable_by_name
                    preparing_twice_is_preparing_once
                    it_can_be_shut_down_twice
                    after_a_shutdown_nothing_is_accepted
                }
                time {
                    the_engine_tells_its_own_time
                    time_never_runs_backwards_and_never_freezes
                    reads_go_by_the_same_time_as_writes
                    the_callers_now_decides_nothing
                }
            }
        }
    };
}

/// The readings of the list: as tests, and as names.
#[doc(hidden)]
#[macro_export]
macro_rules! behaviours_as {
    (tests [$open:ident] $($topic:ident { $($operation:ident { $($behaviour:ident)* })* })*) => {
        $(mod $topic {
            $(mod $operation {
                $(#[test]
                fn $behaviour() {
                    $crate::harness::check(super::super::$open, |bench| {
                        ::std::boxed::Box::pin($crate::$topic::$operation::$behaviour(bench))
                    });
                })*
            })*
        })*
    };
    (names [] $($topic:ident { $($operation:ident { $($behaviour:ident)* })* })*) => {
        &[$($($((
            ::std::stringify!($topic),
            ::std::stringify!($operation),
            ::std::stringify!($behaviour),
        ),)*)*)*]
    };
}

/// Every behaviour: its topic, its operation and its name.
pub const BEHAVIOURS: &[(&str, &str, &str)] = behaviours!(names);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::BEHAVIOURS;

    /// The behaviours that a source file defines.
    fn defined(source: &str) -> impl Iterator<Item = &str> {
        source.lines().filter_map(|line| {
            let (name, arguments) = line.strip_prefix("pub async fn ")?.split_once('(')?;
            arguments.starts_with("bench: &Bench)").then_some(name)
        })
    }

    fn sources() -> BTreeSet<(String, String, String)> {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = BTreeSet::new();
        for topic in [
            "execution",
            "lease",
            "event",
            "flow",
            "lane",
            "stream",
            "suspension",
            "worker",
            "budget",
            "admin",
        ] {
            for entry in std::fs::read_dir(src.join(topic)).unwrap() {
                let path = entry.unwrap().path();
                let operation = path.file_stem().unwrap().to_str().unwrap().to_owned();
                for name in defined(&std::fs::read_to_string(&path).unwrap()) {
                    found.insert((topic.to_owned(), operation.clone(), name.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn the_list_holds_every_behaviour_that_is_written() {
        let listed: BTreeSet<_> = BEHAVIOURS
            .iter()
            .map(|(topic, operation, name)| {
                ((*topic).to_owned(), (*operation).to_owned(), (*name).to_owned())
            })
            .collect();

        assert_eq!(listed.len(), BEHAVIOURS.len(), "a behaviour is listed twice");
        let written = sources();
        let forgotten: Vec<_> = written.difference(&listed).collect();
        assert!(forgotten.is_empty(), "written, but not in the list: {forgotten:?}");
    }
}
