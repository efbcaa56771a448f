-- quota_slot_free
-- Frees the slots of an execution; answers whose they were.
-- Uses ff_quota_slot_execution.
DELETE FROM ff_quota_slot
WHERE partition_key = ?1
    AND execution_id = ?2
RETURNING quota_policy_id
