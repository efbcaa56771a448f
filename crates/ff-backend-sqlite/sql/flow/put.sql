-- flow_put
-- A flow's next version, or its first. json_patch keeps the members of raw_fields that the engine does not know.
-- Uses the primary key.
INSERT INTO ff_flow_core (
    partition_key,
    flow_id,
    version,
    graph_revision,
    public_flow_state,
    created_at_ms,
    terminal_at_ms,
    digest,
    raw_fields
)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (partition_key, flow_id) DO UPDATE
SET
    version = excluded.version,
    graph_revision = excluded.graph_revision,
    public_flow_state = excluded.public_flow_state,
    terminal_at_ms = excluded.terminal_at_ms,
    raw_fields = json_patch(raw_fields, excluded.raw_fields)
