-- signal_known
-- Whether a signal has come to a waitpoint.
-- Uses ff_signal_delivery.
SELECT EXISTS (
    SELECT 1
    FROM ff_signal INDEXED BY ff_signal_delivery
    WHERE partition_key = ?1
        AND waitpoint_id = ?2
        AND signal_id = ?3
)
