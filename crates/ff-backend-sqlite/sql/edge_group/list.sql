-- edge_group_list
-- The edge groups of a flow.
-- Uses the primary key.
SELECT
    downstream_eid,
    policy,
    k_target,
    success_count,
    fail_count,
    skip_count,
    running_count
FROM ff_edge_group
WHERE partition_key = 0
    AND flow_id = ?1
ORDER BY downstream_eid
LIMIT ?2
