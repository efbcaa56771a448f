-- edge_open_upstreams
-- The upstreams of a downstream's open edges that have not ended.
-- Uses ff_edge_downstream and the primary key of ff_exec_core.
SELECT e.partition_key, e.execution_id
FROM ff_edge AS g INDEXED BY ff_edge_downstream
CROSS JOIN ff_exec_core AS e
WHERE g.partition_key = 0
    AND g.flow_id = ?1
    AND g.downstream_eid = ?2
    AND g.is_open = 1
    AND e.partition_key = 0
    AND e.execution_id = g.upstream_eid
    AND e.lifecycle_phase <> 'terminal'
    AND e.lifecycle_phase <> 'cancelled'
ORDER BY g.edge_id
LIMIT ?3
