-- attempt_highest_epoch
-- The highest lease epoch among the attempts of an execution.
-- Uses the primary key.
SELECT max(lease_epoch)
FROM ff_attempt
WHERE partition_key = ?1
    AND execution_id = ?2
