-- budget_charge_drop
-- Forgets what an execution was charged.
-- Uses the primary key.
DELETE FROM ff_budget_usage_by_exec
WHERE partition_key = 0
    AND budget_id = ?1
    AND execution_id = ?2
