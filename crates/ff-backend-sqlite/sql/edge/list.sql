-- edge_list
-- The edges of a flow.
-- Uses the primary key.
SELECT
    edge_id,
    upstream_eid,
    downstream_eid,
    resolved_outcome,
    resolved_run,
    resolved_at_ms,
    policy
FROM ff_edge
WHERE partition_key = 0
    AND flow_id = ?1
ORDER BY edge_id
LIMIT ?2
