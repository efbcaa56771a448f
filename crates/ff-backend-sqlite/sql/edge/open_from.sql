-- edge_open_from
-- The edges that leave an execution, count and are not settled, above one.
-- Uses ff_edge_open.
SELECT edge_id, downstream_eid
FROM ff_edge INDEXED BY ff_edge_open
WHERE partition_key = 0
    AND flow_id = ?1
    AND upstream_eid = ?2
    AND edge_id > ?3
    AND is_open = 1
ORDER BY edge_id
LIMIT ?4
