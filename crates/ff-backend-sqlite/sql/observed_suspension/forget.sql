-- observed_suspension_forget
-- Removes whose signals the attempts of an execution see.
-- Uses the primary key.
DELETE FROM ff_observed_suspension
WHERE partition_key = ?1
    AND execution_id = ?2
