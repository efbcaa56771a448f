-- cancel_backlog_member_forget
-- Strikes off a member that is removed: nobody can be told of it any more.
-- Uses the primary keys of ff_exec_core and ff_cancel_backlog_member.
DELETE FROM ff_cancel_backlog_member
WHERE partition_key = 0
    AND flow_id = (SELECT flow_id FROM ff_exec_core WHERE partition_key = ?1 AND execution_id = ?2)
    AND execution_id = ?3
