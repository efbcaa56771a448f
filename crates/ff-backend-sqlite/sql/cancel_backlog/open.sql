-- cancel_backlog_open
-- Puts a cancelled flow on the backlog.
-- Uses the primary key.
INSERT INTO ff_cancel_backlog (
    partition_key,
    flow_id,
    requested_at_ms,
    requester,
    reason,
    cancellation_policy
)
VALUES (0, ?1, ?2, ?3, ?4, ?5)
ON CONFLICT (partition_key, flow_id) DO UPDATE
SET
    requested_at_ms = excluded.requested_at_ms,
    requester = excluded.requester,
    reason = excluded.reason,
    cancellation_policy = excluded.cancellation_policy,
    members_ended = 0
