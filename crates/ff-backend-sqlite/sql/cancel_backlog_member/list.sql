-- cancel_backlog_member_list
-- The members of a flow that are to be acknowledged.
-- Uses the primary key.
SELECT execution_id
FROM ff_cancel_backlog_member
WHERE partition_key = 0
    AND flow_id = ?1
ORDER BY execution_id
