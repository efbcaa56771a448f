-- verify_i6
-- Ends without their completion event, and completion events without an end. Ends before ?1 have outlived their event.
-- Groups ff_transition by its primary key and ff_completion_event by execution, which spills to a temporary file.
WITH
    ended AS (
        SELECT partition_key, execution_id, at_ms, count(*) AS ends
        FROM ff_transition
        WHERE to_state IN ('completed', 'failed', 'cancelled', 'expired', 'skipped')
            AND from_state IS NOT to_state
        GROUP BY partition_key, execution_id, at_ms
    ),
    announced AS (
        SELECT partition_key, execution_id, occurred_at_ms AS at_ms, count(*) AS events
        FROM ff_completion_event
        GROUP BY partition_key, execution_id, occurred_at_ms
    )
SELECT
    ended.partition_key,
    ended.execution_id,
    'ended ' || ended.ends || ' times at ' || ended.at_ms || ' and ' || coalesce(announced.events, 0)
        || ' completion events say so' AS finding
FROM ended
LEFT JOIN announced USING (partition_key, execution_id, at_ms)
WHERE ended.at_ms >= ?1 AND coalesce(announced.events, 0) < ended.ends
UNION ALL
SELECT
    announced.partition_key,
    announced.execution_id,
    'a completion event says that it ended at ' || announced.at_ms || ', where it did not'
FROM announced
JOIN ff_exec_core AS e USING (partition_key, execution_id)
LEFT JOIN ended USING (partition_key, execution_id, at_ms)
WHERE ended.ends IS NULL
    AND announced.at_ms >= e.created_at_ms
    AND announced.at_ms >= (
        SELECT min(at_ms)
        FROM ff_transition AS t
        WHERE t.partition_key = e.partition_key AND t.execution_id = e.execution_id
    )
