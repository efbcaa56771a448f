-- cancel_backlog_drop
-- Takes a flow off the backlog once its members have ended and all are acknowledged.
-- Uses the primary keys.
DELETE FROM ff_cancel_backlog
WHERE partition_key = 0
    AND flow_id = ?1
    AND members_ended = 1
    AND NOT EXISTS (
        SELECT 1
        FROM ff_cancel_backlog_member AS m
        WHERE m.partition_key = 0
            AND m.flow_id = ?1
    )
