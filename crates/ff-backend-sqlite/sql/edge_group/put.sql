-- edge_group_put
-- The policy and the counts of one downstream's edge group.
-- Uses the primary key.
INSERT INTO ff_edge_group (
    partition_key,
    flow_id,
    downstream_eid,
    policy,
    k_target,
    success_count,
    fail_count,
    skip_count,
    running_count
)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (partition_key, flow_id, downstream_eid) DO UPDATE
SET
    policy = excluded.policy,
    k_target = excluded.k_target,
    success_count = excluded.success_count,
    fail_count = excluded.fail_count,
    skip_count = excluded.skip_count,
    running_count = excluded.running_count
