-- attempt_put
-- An attempt, new or over its former self; what tools keep in raw_fields and usage stays.
-- Uses the primary key; writes the lease indexes.
INSERT INTO ff_attempt (
    partition_key,
    execution_id,
    attempt_index,
    lease_epoch,
    lease_expires_at_ms,
    lease_expired_at_ms,
    attempt_id,
    lease_id,
    worker_id,
    worker_instance_id,
    started_at_ms,
    terminal_at_ms,
    outcome,
    attempt_type,
    retry_at_ms,
    failure_category,
    failure_reason,
    policy
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
ON CONFLICT (partition_key, execution_id, attempt_index) DO UPDATE
SET
    lease_epoch = excluded.lease_epoch,
    lease_expires_at_ms = excluded.lease_expires_at_ms,
    lease_expired_at_ms = excluded.lease_expired_at_ms,
    attempt_id = excluded.attempt_id,
    lease_id = excluded.lease_id,
    worker_id = excluded.worker_id,
    worker_instance_id = excluded.worker_instance_id,
    started_at_ms = excluded.started_at_ms,
    terminal_at_ms = excluded.terminal_at_ms,
    outcome = excluded.outcome,
    attempt_type = excluded.attempt_type,
    retry_at_ms = excluded.retry_at_ms,
    failure_category = excluded.failure_category,
    failure_reason = excluded.failure_reason,
    policy = excluded.policy
