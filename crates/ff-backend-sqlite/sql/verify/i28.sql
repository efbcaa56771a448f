-- verify_i28
-- Streams whose frames the engine appended out of order, twice under one number, beyond the count, after their
-- attempt's end, or whose counters disagree with the frames that are there.
-- Walks ff_stream_frame by its primary key, with one search of ff_stream_meta and ff_attempt for each stream.
SELECT
    partition_key,
    execution_id,
    'frame ' || ts_ms || '-' || seq || ' of attempt ' || attempt_index || ' has number ' || number || ', and the frame before it '
        || before AS finding
FROM (
    SELECT
        partition_key,
        execution_id,
        attempt_index,
        ts_ms,
        seq,
        number,
        lag(number) OVER (PARTITION BY partition_key, execution_id, attempt_index ORDER BY ts_ms, seq) AS before
    FROM ff_stream_frame
    WHERE lease_epoch IS NOT NULL
)
WHERE number <= before
UNION ALL
SELECT
    f.partition_key,
    f.execution_id,
    'frame ' || f.ts_ms || '-' || f.seq || ' of attempt ' || f.attempt_index || ' came after the end of its attempt'
FROM ff_stream_frame AS f
CROSS JOIN ff_attempt AS a
    ON a.partition_key = f.partition_key
    AND a.execution_id = f.execution_id
    AND a.attempt_index = f.attempt_index
WHERE f.lease_epoch IS NOT NULL
    AND a.terminal_at_ms < f.created_at_ms
UNION ALL
SELECT
    partition_key,
    execution_id,
    'the stream of attempt ' || attempt_index || ' counts ' || kept || ' frames up to number ' || frame_count || ', and '
        || there || ' up to ' || greatest || ' are there'
FROM (
    SELECT
        m.partition_key,
        m.execution_id,
        m.attempt_index,
        m.frame_count,
        m.durable_kept + m.summary_kept + m.best_effort_kept AS kept,
        count(f.ts_ms) AS there,
        coalesce(max(f.number), 0) AS greatest
    FROM ff_stream_meta AS m
    LEFT JOIN ff_stream_frame AS f
        ON f.partition_key = m.partition_key
        AND f.execution_id = m.execution_id
        AND f.attempt_index = m.attempt_index
    GROUP BY m.partition_key, m.execution_id, m.attempt_index
)
WHERE kept <> there
    OR greatest > frame_count
