-- verify_i8
-- Attempts with gaps, more than one of them open, open after the end, and counters above the caps of the stored policy.
-- A retry cap may come with the call that failed and is not stored, so retries are compared with the attempts that ended so.
-- Walks ff_attempt by its primary key, then ff_exec_core.
SELECT
    a.partition_key,
    a.execution_id,
    CASE
        WHEN max(a.attempt_index) - min(a.attempt_index) + 1 <> count(*)
            THEN 'attempts ' || min(a.attempt_index) || ' to ' || max(a.attempt_index) || ' are ' || count(*) || ' rows'
        WHEN min(a.attempt_index) > 0 AND min(a.attempt_id IS NOT NULL) = 1
            THEN 'the first attempt is number ' || min(a.attempt_index)
        ELSE sum(a.outcome IS NULL AND a.terminal_at_ms IS NULL AND a.attempt_id IS NOT NULL) || ' attempts are open'
    END AS finding
FROM ff_attempt AS a
JOIN ff_exec_core AS e ON e.partition_key = a.partition_key AND e.execution_id = a.execution_id
WHERE e.version > 0
GROUP BY a.partition_key, a.execution_id
HAVING min(a.attempt_id IS NOT NULL) = 1
    AND (
        max(a.attempt_index) - min(a.attempt_index) + 1 <> count(*)
        OR min(a.attempt_index) > 0
        OR sum(a.outcome IS NULL AND a.terminal_at_ms IS NULL) > (e.lifecycle_phase <> 'terminal')
    )
UNION ALL
SELECT
    partition_key,
    execution_id,
    'has ' || lease_reclaim_count || ' reclaims, and its policy allows ' || reclaim_cap
FROM (
    SELECT
        partition_key,
        execution_id,
        lease_reclaim_count,
        min(
            coalesce(json_extract(policy, '$.max_reclaim_count'), 9223372036854775807),
            coalesce(json_extract(policy, '$.timeout_policy.max_reclaim_count'), 9223372036854775807)
        ) AS reclaim_cap
    FROM ff_exec_core NOT INDEXED
    WHERE version > 0 AND json_valid(policy)
)
WHERE lease_reclaim_count > reclaim_cap
UNION ALL
SELECT
    partition_key,
    execution_id,
    'has ' || json_extract(raw_fields, '$.replay_count') || ' replays, and its policy allows '
        || json_extract(policy, '$.max_replay_count')
FROM ff_exec_core NOT INDEXED
WHERE version > 0
    AND json_valid(policy)
    AND json_valid(raw_fields)
    AND CAST(json_extract(raw_fields, '$.replay_count') AS INTEGER) > json_extract(policy, '$.max_replay_count')
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'has ' || json_extract(e.raw_fields, '$.retry_count') || ' retries, and fewer attempts ended so'
FROM ff_exec_core AS e NOT INDEXED
WHERE e.version > 0
    AND json_valid(e.raw_fields)
    AND CAST(json_extract(e.raw_fields, '$.retry_count') AS INTEGER) > (
        SELECT count(*)
        FROM ff_attempt AS a
        WHERE a.partition_key = e.partition_key
            AND a.execution_id = e.execution_id
            AND (a.outcome = 'retry' OR a.attempt_id IS NULL)
    )
