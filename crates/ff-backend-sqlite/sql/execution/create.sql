-- execution_create
-- A new execution.
-- Writes every index whose condition the row meets; names gate_key, so that its trigger rests. Searches
-- ff_quota_admitted_execution for a reservation made before it.
INSERT INTO ff_exec_core (
    partition_key,
    execution_id,
    version,
    lifecycle_phase,
    ownership_state,
    eligibility_state,
    public_state,
    attempt_state,
    blocking_reason,
    terminal_outcome,
    priority,
    attempt_index,
    attempt_count,
    lease_epoch,
    lease_reclaim_count,
    started_at_ms,
    terminal_at_ms,
    eligible_at_ms,
    deadline_at_ms,
    attempt_timeout_at_ms,
    attempt_timeout_left_ms,
    cancellation_reason,
    cancelled_by,
    raw_fields,
    lane_id,
    gate_key,
    flow_id,
    created_at_ms,
    policy,
    payload,
    reserves_slots
)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
    ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30,
    EXISTS (SELECT 1 FROM ff_quota_admitted INDEXED BY ff_quota_admitted_execution WHERE execution_id = ?31)
)
