-- execution_load
-- One execution as a rule sees it, without payload and result; how far its attempts have come, as long as the engine has
-- not claimed it (from then on its own columns say so); and its current attempt, all NULL if there is none.
-- Uses the primary keys of ff_exec_core and ff_attempt.
SELECT
    e.partition_key,
    e.execution_id,
    e.version,
    e.lane_id,
    e.lifecycle_phase,
    e.ownership_state,
    e.eligibility_state,
    e.public_state,
    e.attempt_state,
    e.blocking_reason,
    e.terminal_outcome,
    e.priority,
    e.gate_key,
    e.quota_policy_id,
    e.takes_slots,
    e.reserves_slots,
    e.flow_id,
    e.attempt_index,
    e.attempt_count,
    e.lease_epoch,
    e.lease_reclaim_count,
    e.created_at_ms,
    e.started_at_ms,
    e.terminal_at_ms,
    e.eligible_at_ms,
    e.deadline_at_ms,
    e.attempt_timeout_at_ms,
    e.attempt_timeout_left_ms,
    e.cancellation_reason,
    e.cancelled_by,
    e.policy,
    e.raw_fields,
    CASE WHEN e.lease_epoch = 0 THEN (
        SELECT max(attempt_index) FROM ff_attempt
        WHERE partition_key = e.partition_key AND execution_id = e.execution_id
    ) END AS highest_attempt_index,
    CASE WHEN e.lifecycle_phase = 'active' THEN
        EXISTS (
            SELECT 1 FROM ff_suspension_current
            WHERE partition_key = e.partition_key AND execution_id = e.execution_id AND closed_at_ms IS NULL
        )
        OR EXISTS (
            SELECT 1 FROM ff_waitpoint_pending
            WHERE partition_key = e.partition_key AND execution_id = e.execution_id AND state <> 'closed'
        )
    END AS has_waits,
    a.attempt_index,
    a.lease_epoch,
    a.lease_expires_at_ms,
    a.lease_expired_at_ms,
    a.attempt_id,
    a.lease_id,
    a.worker_id,
    a.worker_instance_id,
    a.started_at_ms,
    a.terminal_at_ms,
    a.outcome,
    a.attempt_type,
    a.retry_at_ms,
    a.failure_category,
    a.failure_reason,
    a.policy,
    a.raw_fields
FROM ff_exec_core AS e
LEFT JOIN ff_attempt AS a
    ON a.partition_key = e.partition_key
    AND a.execution_id = e.execution_id
    AND a.attempt_index = e.attempt_index
WHERE e.partition_key = ?1
    AND e.execution_id = ?2
