-- execution_put
-- An execution's next version, over the one before it. What never changes after the create is not named: the lane, the
-- gate key, the policy, the payload. json_patch keeps the members of raw_fields that the engine does not know; where ?26
-- says that there are none, the document is written whole. A NULL result keeps the one stored.
-- Uses the primary key.
UPDATE ff_exec_core
SET
    version = ?3,
    lifecycle_phase = ?4,
    ownership_state = ?5,
    eligibility_state = ?6,
    public_state = ?7,
    attempt_state = ?8,
    blocking_reason = ?9,
    terminal_outcome = ?10,
    priority = ?11,
    attempt_index = ?12,
    attempt_count = ?13,
    lease_epoch = ?14,
    lease_reclaim_count = ?15,
    started_at_ms = ?16,
    terminal_at_ms = ?17,
    eligible_at_ms = ?18,
    deadline_at_ms = ?19,
    attempt_timeout_at_ms = ?20,
    attempt_timeout_left_ms = ?21,
    cancellation_reason = ?22,
    cancelled_by = ?23,
    raw_fields = CASE WHEN ?26 THEN ?24 ELSE json_patch(raw_fields, ?24) END,
    result = coalesce(?25, result)
WHERE partition_key = ?1
    AND execution_id = ?2
    AND version = ?3 - 1
