-- cancel_backlog_first
-- The cancelled flows that may have members to end, oldest first; read as far as they are wanted.
-- Uses ff_cancel_backlog_open.
SELECT flow_id
FROM ff_cancel_backlog INDEXED BY ff_cancel_backlog_open
WHERE members_ended = 0
ORDER BY requested_at_ms, flow_id
