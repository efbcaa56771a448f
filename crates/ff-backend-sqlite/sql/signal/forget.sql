-- signal_forget
-- Removes the signals of an execution.
-- Uses the primary key.
DELETE FROM ff_signal
WHERE partition_key = ?1
    AND execution_id = ?2
