-- flow_load
-- One flow.
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
    AND flow_id = ?1
