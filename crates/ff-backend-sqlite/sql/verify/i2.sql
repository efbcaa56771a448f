-- verify_i2
-- Runs that ended more than once.
-- Groups ff_completion_event by execution and run; the sorter spills to a temporary file.
SELECT
    c.partition_key,
    c.execution_id,
    'run ' || c.run || ' has ' || count(*) || ' completion events (' || group_concat(c.event_id || ' ' || c.outcome, ', ') || ')'
        AS finding
FROM ff_completion_event AS c
JOIN ff_exec_core AS e ON e.partition_key = c.partition_key AND e.execution_id = c.execution_id
WHERE e.version > 0 AND c.occurred_at_ms >= e.created_at_ms
GROUP BY c.partition_key, c.execution_id, c.run
HAVING count(*) > 1
