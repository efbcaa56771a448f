-- verify_i19
-- Members that can be reached from themselves; members and edges that came after their flow had ended.
-- Walks each flow's edges from every downstream, as far as they lead; spills to a temporary file.
WITH RECURSIVE reached (flow_id, origin, execution_id) AS (
    SELECT flow_id, upstream_eid, downstream_eid
    FROM ff_edge
    WHERE partition_key = 0
        AND EXISTS (
            SELECT 1
            FROM ff_edge AS back
            WHERE back.partition_key = 0
                AND back.flow_id = ff_edge.flow_id
                AND back.downstream_eid = ff_edge.upstream_eid
        )
    UNION
    SELECT reached.flow_id, reached.origin, e.downstream_eid
    FROM reached
    CROSS JOIN ff_edge AS e INDEXED BY ff_edge_upstream
    WHERE e.partition_key = 0
        AND e.flow_id = reached.flow_id
        AND e.upstream_eid = reached.execution_id
)
SELECT 0 AS partition_key, origin AS execution_id, 'lies on a cycle of flow ' || lower(hex(flow_id)) AS finding
FROM reached
WHERE origin = execution_id
UNION ALL
SELECT
    0,
    g.downstream_eid,
    'has an edge that began to count at ' || json_extract(g.policy, '$.applied_at_ms') || ', after its flow had ended at '
        || f.terminal_at_ms
FROM ff_edge AS g
CROSS JOIN ff_flow_core AS f ON f.partition_key = 0 AND f.flow_id = g.flow_id
WHERE f.terminal_at_ms IS NOT NULL
    AND json_valid(g.policy)
    AND json_extract(g.policy, '$.applied_at_ms') > f.terminal_at_ms
