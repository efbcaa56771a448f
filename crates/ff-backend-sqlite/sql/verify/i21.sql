-- verify_i21
-- Groups whose counts are not those of their edges; and members that wait although their group is decided, or that
-- were never begun and stand in line although it is not satisfied. A group with fewer edges than must succeed is not
-- decided. What has begun may wait for the rest of a group that cannot be satisfied any more, while there is a rest.
-- Scans ff_edge_group, with the edges and the execution of each.
WITH
    counted AS (
        SELECT
            g.flow_id,
            g.downstream_eid,
            g.success_count AS s,
            g.fail_count + g.skip_count AS f,
            g.running_count AS r,
            CASE json_extract(g.policy, '$.kind')
                WHEN 'any_of' THEN 1
                WHEN 'quorum' THEN g.k_target
                ELSE g.success_count + g.fail_count + g.skip_count + g.running_count
            END AS k,
            (
                SELECT count(*)
                FROM ff_edge AS e INDEXED BY ff_edge_downstream
                WHERE e.partition_key = 0
                    AND e.flow_id = g.flow_id
                    AND e.downstream_eid = g.downstream_eid
                    AND e.is_open = 1
            ) AS edges_open,
            (
                SELECT count(*)
                FROM ff_edge AS e INDEXED BY ff_edge_downstream
                WHERE e.partition_key = 0
                    AND e.flow_id = g.flow_id
                    AND e.downstream_eid = g.downstream_eid
                    AND e.resolved_outcome = 'success'
            ) AS edges_good
        FROM ff_edge_group AS g
        WHERE g.partition_key = 0
            AND json_valid(g.policy)
    )
SELECT
    0 AS partition_key,
    downstream_eid AS execution_id,
    'has a group that counts ' || s || ' good and ' || r || ' open edges and has ' || edges_good || ' and '
        || edges_open AS finding
FROM counted
WHERE s <> edges_good
    OR r <> edges_open
UNION ALL
SELECT
    0,
    c.downstream_eid,
    'is ' || x.public_state || ' although ' || c.s || ' of ' || c.k || ' have succeeded and ' || c.r || ' are open'
FROM counted AS c
CROSS JOIN ff_exec_core AS x ON x.partition_key = 0 AND x.execution_id = c.downstream_eid
WHERE x.version > 0
    AND c.s + c.f + c.r > 0
    AND (
        (
            x.eligibility_state = 'blocked_by_dependencies'
            AND (
                c.s >= c.k
                OR (
                    x.attempt_state IN ('attempt_interrupted', 'pending_retry_attempt')
                    AND c.r = 0
                )
                OR (
                    x.attempt_state NOT IN ('attempt_interrupted', 'pending_retry_attempt')
                    AND c.s + c.f + c.r >= c.k
                    AND c.s + c.r < c.k
                )
            )
        )
        OR (
            x.lifecycle_phase = 'runnable'
            AND x.attempt_state = 'pending_first_attempt'
            AND x.eligibility_state <> 'blocked_by_dependencies'
            AND c.s < c.k
        )
        OR (x.terminal_outcome = 'skipped' AND c.s >= c.k)
    )
