-- verify_i13
-- Signals that were accepted and are gone, or that nobody will see.
-- Walks ff_signal by its primary key and ff_signal_dedup by its own.
SELECT
    partition_key,
    execution_id,
    'has ' || count(*) || ' signals, numbered up to ' || max(seq) AS finding
FROM ff_signal
GROUP BY partition_key, execution_id
HAVING count(*) <> max(seq)
UNION ALL
SELECT
    g.partition_key,
    g.execution_id,
    'signal ' || g.seq || ' waits at waitpoint ' || lower(hex(g.waitpoint_id)) || ', which a suspension has adopted'
FROM ff_signal AS g
JOIN ff_waitpoint_pending AS w
    ON w.partition_key = g.partition_key
    AND w.waitpoint_id = g.waitpoint_id
WHERE g.suspension_id IS NULL AND w.suspension_id IS NOT NULL
UNION ALL
SELECT
    d.partition_key,
    d.execution_id,
    'the key of signal ' || lower(hex(d.signal_id)) || ' is remembered and the signal is gone'
FROM ff_signal_dedup AS d
WHERE NOT EXISTS (
        SELECT 1
        FROM ff_signal AS g
        WHERE g.partition_key = d.partition_key
            AND g.waitpoint_id = d.waitpoint_id
            AND g.signal_id = d.signal_id
    )
