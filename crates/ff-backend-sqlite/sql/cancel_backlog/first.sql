-- cancel_backlog_first
-- The oldest cancelled flow that may have members to end.
-- Uses ff_cancel_backlog_open.
SELECT flow_id
FROM ff_cancel_backlog INDEXED BY ff_cancel_backlog_open
WHERE members_ended = 0
ORDER BY requested_at_ms, flow_id
LIMIT 1
