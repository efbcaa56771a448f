-- suspend_dedup_forget
-- Removes the remembered suspends of an execution: the keys from ?2 on and below ?3.
-- Uses the primary key.
DELETE FROM ff_suspend_dedup
WHERE partition_key = ?1
    AND idempotency_key >= ?2
    AND idempotency_key < ?3
