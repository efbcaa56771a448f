-- cancel_backlog_member_add
-- A member that is to be acknowledged.
-- Uses the primary key.
INSERT INTO ff_cancel_backlog_member (partition_key, flow_id, execution_id)
VALUES (0, ?1, ?2)
ON CONFLICT DO NOTHING
