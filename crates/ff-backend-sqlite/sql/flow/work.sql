-- flow_work
-- Whether flows have anything left to do: an announced end, a decided group, a cancelled flow.
-- Uses ff_completion_event_unresolved, ff_pending_cancel_groups_queue and ff_cancel_backlog_open: the head of each.
SELECT
    EXISTS (
        SELECT 1
        FROM ff_completion_event INDEXED BY ff_completion_event_unresolved
        WHERE dispatched_at_ms IS NULL
            AND flow_id IS NOT NULL
    ),
    EXISTS (SELECT 1 FROM ff_pending_cancel_groups INDEXED BY ff_pending_cancel_groups_queue),
    EXISTS (
        SELECT 1
        FROM ff_cancel_backlog INDEXED BY ff_cancel_backlog_open
        WHERE members_ended = 0
    )
