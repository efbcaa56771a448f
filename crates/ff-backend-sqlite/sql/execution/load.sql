-- execution_load
-- One execution as a rule sees it, without payload and result, and how far its attempts have come, as long as the
-- engine has not claimed it: from then on its own columns say so.
-- Uses the primary keys of ff_exec_core and ff_attempt.
SELECT
    partition_key,
    execution_id,
    version,
    lane_id,
    lifecycle_phase,
    ownership_state,
    eligibility_state,
    public_state,
    attempt_state,
    blocking_reason,
    terminal_outcome,
    priority,
    gate_key,
    quota_policy_id,
    takes_slots,
    flow_id,
    attempt_index,
    attempt_count,
    lease_epoch,
    lease_reclaim_count,
    created_at_ms,
    started_at_ms,
    terminal_at_ms,
    eligible_at_ms,
    deadline_at_ms,
    attempt_timeout_at_ms,
    attempt_timeout_left_ms,
    cancellation_reason,
    cancelled_by,
    policy,
    raw_fields,
    CASE WHEN lease_epoch = 0 THEN (
        SELECT max(attempt_index) FROM ff_attempt AS a
        WHERE a.partition_key = e.partition_key AND a.execution_id = e.execution_id
    ) END AS highest_attempt_index,
    CASE WHEN lease_epoch = 0 THEN (
        SELECT max(lease_epoch) FROM ff_attempt AS a
        WHERE a.partition_key = e.partition_key AND a.execution_id = e.execution_id
    ) END AS highest_attempt_epoch
FROM ff_exec_core AS e
WHERE partition_key = ?1
    AND execution_id = ?2
