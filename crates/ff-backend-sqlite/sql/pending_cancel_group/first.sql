-- pending_cancel_group_first
-- The decided groups whose remaining upstreams are to be cancelled, oldest first; read up to one that can be.
-- Uses ff_pending_cancel_groups_queue.
SELECT flow_id, downstream_eid, enqueued_at_ms
FROM ff_pending_cancel_groups INDEXED BY ff_pending_cancel_groups_queue
ORDER BY enqueued_at_ms, flow_id, downstream_eid
