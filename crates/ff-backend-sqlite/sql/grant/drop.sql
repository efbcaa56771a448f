-- grant_drop
-- Removes an execution's grants of one kind.
-- Uses ff_claim_grant_execution.
DELETE FROM ff_claim_grant
WHERE partition_key = ?1
    AND execution_id = ?2
    AND kind = ?3
