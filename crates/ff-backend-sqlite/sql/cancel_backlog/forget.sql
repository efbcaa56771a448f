-- cancel_backlog_forget
-- Takes the flow of a member that is removed off the backlog once its members have ended and all are acknowledged.
-- Uses the primary keys.
DELETE FROM ff_cancel_backlog
WHERE partition_key = 0
    AND flow_id = (SELECT flow_id FROM ff_exec_core WHERE partition_key = ?1 AND execution_id = ?2)
    AND members_ended = 1
    AND NOT EXISTS (
        SELECT 1
        FROM ff_cancel_backlog_member AS m
        WHERE m.partition_key = 0
            AND m.flow_id = ff_cancel_backlog.flow_id
    )
