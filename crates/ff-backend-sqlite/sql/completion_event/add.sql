-- completion_event_add
-- The fact that an execution ended.
-- Appends to the table; writes ff_completion_event_unresolved for a member of a flow.
INSERT INTO ff_completion_event (
    partition_key,
    execution_id,
    flow_id,
    outcome,
    namespace,
    instance_tag,
    occurred_at_ms,
    committed_at_ms,
    run
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
