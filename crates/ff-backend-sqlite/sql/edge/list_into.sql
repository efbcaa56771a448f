-- edge_list_into
-- The edges of a flow that enter an execution.
-- Uses ff_edge_downstream.
SELECT
    edge_id,
    upstream_eid,
    downstream_eid,
    resolved_outcome,
    resolved_run,
    resolved_at_ms,
    policy
FROM ff_edge INDEXED BY ff_edge_downstream
WHERE partition_key = 0
    AND flow_id = ?1
    AND downstream_eid = ?2
ORDER BY edge_id
LIMIT ?3
