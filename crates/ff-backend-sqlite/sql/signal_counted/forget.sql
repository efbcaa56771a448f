-- signal_counted_forget
-- Nothing is counted any more.
-- Uses the primary key.
DELETE FROM ff_signal_counted
WHERE partition_key = ?1
    AND execution_id = ?2
