-- edge_reaches
-- Whether a walk along the edges of a flow leads from ?2 to ?3.
-- Uses ff_edge_upstream: each node is expanded once.
WITH RECURSIVE reached (execution_id) AS (
    SELECT ?2
    UNION
    SELECT e.downstream_eid
    FROM reached
    CROSS JOIN ff_edge AS e INDEXED BY ff_edge_upstream
    WHERE e.partition_key = 0
        AND e.flow_id = ?1
        AND e.upstream_eid = reached.execution_id
)
SELECT EXISTS (SELECT 1 FROM reached WHERE execution_id = ?3)
