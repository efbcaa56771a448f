-- cancel_backlog_close
-- Every member that the cancel reaches has ended.
-- Uses the primary key.
UPDATE ff_cancel_backlog
SET members_ended = 1
WHERE partition_key = 0
    AND flow_id = ?1
