//! The list of behaviours, and how a backend joins them.
//!
//! The list exists once. [`suite!`](crate::suite) makes a test of every entry, so that a backend
//! joins all of it or does not compile; a test below compares it with the sources, so that no
//! behaviour is written and forgotten.

/// Joins a backend: one test for each behaviour.
///
/// It takes the path of an `async fn open(setup: Setup) -> Bench` in the module where it stands.
/// Several variants of one backend join in a module each.
///
/// ```no_run
/// # #[cfg(any())]
/// mod in_memory {
///     use ff_conformance::harness::{Bench, Setup};
///
///     async fn open(setup: Setup) -> Bench { … }
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
        for topic in ["execution", "lease", "event", "lane", "admin"] {
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
