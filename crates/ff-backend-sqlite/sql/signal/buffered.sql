-- signal_buffered
-- What conditions ask about the signals that wait with a pending waitpoint, by acceptance.
-- Uses ff_signal_suspension; sorts the signals of one waitpoint.
SELECT signal_id, waitpoint_key, signal_name, source_type, source_identity
FROM ff_signal INDEXED BY ff_signal_suspension
WHERE partition_key = ?1
    AND execution_id = ?2
    AND suspension_id IS NULL
    AND waitpoint_id = ?3
ORDER BY seq
