-- cancel_backlog_member_drop
-- Strikes off a member that is acknowledged.
-- Uses the primary key.
DELETE FROM ff_cancel_backlog_member
WHERE partition_key = 0
    AND flow_id = ?1
    AND execution_id = ?2
