-- operator_event_add
-- The fact that an operator changed something.
-- Appends to the table; it has no index.
INSERT INTO ff_operator_event (
    execution_id,
    event_type,
    details,
    occurred_at_ms,
    partition_key,
    namespace,
    instance_tag
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
