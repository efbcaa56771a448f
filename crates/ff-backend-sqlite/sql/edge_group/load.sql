-- edge_group_load
-- The edge group of one downstream.
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
    AND downstream_eid = ?2
