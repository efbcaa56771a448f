-- edge_put
-- An edge, or what has become of it. json_patch keeps the members of its policy that the engine does not know.
-- Uses the primary key.
INSERT INTO ff_edge (
    partition_key,
    flow_id,
    edge_id,
    upstream_eid,
    downstream_eid,
    resolved_outcome,
    resolved_run,
    resolved_at_ms,
    policy
)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (partition_key, flow_id, edge_id) DO UPDATE
SET
    resolved_outcome = excluded.resolved_outcome,
    resolved_run = excluded.resolved_run,
    resolved_at_ms = excluded.resolved_at_ms,
    policy = json_patch(policy, excluded.policy)
