-- agenda_load
-- Whether a claim at ?1 has anything to settle before it looks at its lines: an execution that is due, as execution_due
-- lists them, or flow work, as flow_work tells it. Nothing is looked at beyond the first that is found.
-- Uses ff_exec_core_due, ff_attempt_lease_expiry, ff_suspension_current_timeout, ff_completion_event_unresolved,
-- ff_pending_cancel_groups_queue and ff_cancel_backlog_open, and the primary key of ff_exec_core.
SELECT
    EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_due
        WHERE due_at_ms <= ?1
    )
    OR EXISTS (
        SELECT 1
        FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
        CROSS JOIN ff_exec_core AS e
        WHERE a.lease_expires_at_ms <= ?1
            AND e.partition_key = a.partition_key
            AND e.execution_id = a.execution_id
            AND e.attempt_index = a.attempt_index
            AND e.lifecycle_phase = 'active'
            AND e.ownership_state = 'leased'
    )
    OR EXISTS (
        SELECT 1
        FROM ff_suspension_current AS s INDEXED BY ff_suspension_current_timeout
        CROSS JOIN ff_exec_core AS e
        WHERE s.timeout_at_ms <= ?1
            AND s.closed_at_ms IS NULL
            AND e.partition_key = s.partition_key
            AND e.execution_id = s.execution_id
            AND e.lifecycle_phase = 'suspended'
    ),
    EXISTS (
        SELECT 1
        FROM ff_completion_event INDEXED BY ff_completion_event_unresolved
        WHERE dispatched_at_ms IS NULL
            AND flow_id IS NOT NULL
    )
    OR EXISTS (SELECT 1 FROM ff_pending_cancel_groups INDEXED BY ff_pending_cancel_groups_queue)
    OR EXISTS (
        SELECT 1
        FROM ff_cancel_backlog INDEXED BY ff_cancel_backlog_open
        WHERE members_ended = 0
    )
