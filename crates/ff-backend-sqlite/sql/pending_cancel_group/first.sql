-- pending_cancel_group_first
-- The oldest decided group whose remaining upstreams are to be cancelled.
-- Uses ff_pending_cancel_groups_queue.
SELECT flow_id, downstream_eid, enqueued_at_ms
FROM ff_pending_cancel_groups INDEXED BY ff_pending_cancel_groups_queue
ORDER BY enqueued_at_ms, flow_id, downstream_eid
LIMIT 1
