-- signal_dedup_forget
-- Removes the keys of the signals of an execution.
-- Uses ff_signal_dedup_execution.
DELETE FROM ff_signal_dedup
WHERE partition_key = ?1
    AND execution_id = ?2
