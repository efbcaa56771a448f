-- pending_cancel_group_drop
-- Takes a decided group off the list.
-- Uses the primary key.
DELETE FROM ff_pending_cancel_groups
WHERE partition_key = 0
    AND flow_id = ?1
    AND downstream_eid = ?2
