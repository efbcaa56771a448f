-- quota_bind_execution
-- The quota an execution is bound to.
-- Uses the primary key.
UPDATE ff_exec_core
SET quota_policy_id = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
