-- edge_count_into
-- How the edges that count into an execution were settled.
-- Uses ff_edge_downstream.
SELECT
    sum(resolved_outcome = 'success'),
    sum(resolved_outcome <> 'success' AND resolved_outcome <> 'skipped'),
    sum(resolved_outcome = 'skipped'),
    sum(is_open = 1)
FROM ff_edge INDEXED BY ff_edge_downstream
WHERE partition_key = 0
    AND flow_id = ?1
    AND downstream_eid = ?2
