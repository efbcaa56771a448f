-- flow_list_ascending
-- Flows in the order of their ids, above one.
-- Uses the primary key.
SELECT
    flow_id,
    version,
    graph_revision,
    public_flow_state,
    created_at_ms,
    terminal_at_ms,
    digest,
    raw_fields
FROM ff_flow_core
WHERE partition_key = 0
    AND flow_id > ?1
ORDER BY flow_id
LIMIT ?2
