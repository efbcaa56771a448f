-- signal_observed
-- The signals that an attempt sees, by waitpoint key, then acceptance.
-- Uses the primary key of ff_observed_suspension, and ff_signal_suspension.
SELECT
    s.seq,
    s.bytes_so_far,
    s.signal_id,
    s.waitpoint_id,
    s.waitpoint_key,
    s.suspension_id,
    s.signal_name,
    s.signal_category,
    s.source_type,
    s.source_identity,
    s.correlation_id,
    s.payload,
    s.payload_encoding,
    s.accepted_at_ms
FROM ff_observed_suspension AS o
CROSS JOIN ff_signal AS s INDEXED BY ff_signal_suspension
WHERE o.partition_key = ?1
    AND o.execution_id = ?2
    AND o.attempt_index = ?3
    AND s.partition_key = ?1
    AND s.execution_id = ?2
    AND s.suspension_id = o.suspension_id
ORDER BY s.waitpoint_key, s.seq
