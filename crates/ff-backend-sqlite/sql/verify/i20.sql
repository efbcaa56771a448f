-- verify_i20
-- Edges settled otherwise than their upstream ended, or by an upstream that has not ended; and edges that stay open
-- although the end of their upstream was struck off.
-- Scans ff_edge, with one search of ff_exec_core for each.
SELECT
    0 AS partition_key,
    g.downstream_eid AS execution_id,
    'has an edge settled by ' || g.resolved_outcome || ' of run ' || g.resolved_run || ', in which its upstream '
        || CASE WHEN u.lifecycle_phase = 'terminal' THEN 'ended with ' || u.terminal_outcome ELSE 'has not ended' END
        AS finding
FROM ff_edge AS g
CROSS JOIN ff_exec_core AS u ON u.partition_key = 0 AND u.execution_id = g.upstream_eid
WHERE g.resolved_outcome IS NOT NULL
    AND u.version > 0
    AND coalesce(json_extract(u.raw_fields, '$.replay_count'), 0) + 0 = g.resolved_run
    AND (u.lifecycle_phase <> 'terminal' OR u.terminal_outcome <> g.resolved_outcome)
UNION ALL
SELECT
    0,
    g.downstream_eid,
    'has an open edge although its upstream ended at ' || u.terminal_at_ms || ' and nobody is to settle it'
FROM ff_edge AS g
CROSS JOIN ff_exec_core AS u ON u.partition_key = 0 AND u.execution_id = g.upstream_eid
WHERE g.is_open = 1
    AND u.version > 0
    AND u.lifecycle_phase = 'terminal'
    AND NOT EXISTS (
        SELECT 1
        FROM ff_completion_event AS c INDEXED BY ff_completion_event_unresolved
        WHERE c.dispatched_at_ms IS NULL
            AND c.flow_id IS NOT NULL
            AND c.execution_id = g.upstream_eid
    )
