-- pending_cancel_group_add
-- Puts a decided group on the list, and says so in its row.
-- Uses the primary key.
INSERT INTO ff_pending_cancel_groups (partition_key, flow_id, downstream_eid, enqueued_at_ms)
VALUES (0, ?1, ?2, ?3)
ON CONFLICT DO NOTHING
