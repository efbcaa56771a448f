-- edge_list_from
-- The edges of a flow that leave an execution.
-- Uses ff_edge_upstream.
SELECT
    edge_id,
    upstream_eid,
    downstream_eid,
    resolved_outcome,
    resolved_run,
    resolved_at_ms,
    policy
FROM ff_edge INDEXED BY ff_edge_upstream
WHERE partition_key = 0
    AND flow_id = ?1
    AND upstream_eid = ?2
ORDER BY edge_id
LIMIT ?3
