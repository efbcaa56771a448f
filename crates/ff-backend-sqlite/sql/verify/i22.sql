-- verify_i22
-- Groups that are decided and cancel what remains, with an upstream that goes on and is on nobody's list. One
-- that is still being built has fewer edges than must succeed and is not decided.
-- Scans ff_edge_group, with the open edges and upstreams of each.
SELECT
    0 AS partition_key,
    u.execution_id AS execution_id,
    'goes on although the group that it leads to is decided and cancels what remains' AS finding
FROM ff_edge_group AS g
CROSS JOIN ff_edge AS e INDEXED BY ff_edge_downstream
CROSS JOIN ff_exec_core AS u
WHERE g.partition_key = 0
    AND json_valid(g.policy)
    AND json_extract(g.policy, '$.on_satisfied') = 'cancel_remaining'
    AND (
        g.success_count >= max(g.k_target, 1)
        OR (
            g.success_count + g.fail_count + g.skip_count + g.running_count >= max(g.k_target, 1)
            AND g.success_count + g.running_count < max(g.k_target, 1)
        )
    )
    AND e.partition_key = 0
    AND e.flow_id = g.flow_id
    AND e.downstream_eid = g.downstream_eid
    AND e.is_open = 1
    AND u.partition_key = 0
    AND u.execution_id = e.upstream_eid
    AND u.version > 0
    AND u.lifecycle_phase <> 'terminal'
    AND NOT EXISTS (
        SELECT 1
        FROM ff_pending_cancel_groups AS p
        WHERE p.partition_key = 0
            AND p.flow_id = g.flow_id
            AND p.downstream_eid = g.downstream_eid
    )
