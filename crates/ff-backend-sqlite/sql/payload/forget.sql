-- payload_forget
-- Removes the long input of an execution.
-- Uses the primary key.
DELETE FROM ff_payload
WHERE partition_key = ?1
    AND execution_id = ?2
