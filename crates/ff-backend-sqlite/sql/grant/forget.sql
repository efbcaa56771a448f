-- grant_forget
-- Removes all grants of an execution.
-- Uses ff_claim_grant_execution.
DELETE FROM ff_claim_grant
WHERE partition_key = ?1
    AND execution_id = ?2
