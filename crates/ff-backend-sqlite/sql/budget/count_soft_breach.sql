-- budget_count_soft_breach
-- Counts a soft breach, if the budget has a policy.
-- Uses the primary key.
UPDATE ff_budget_policy
SET
    soft_breach_count = soft_breach_count + 1,
    updated_at_ms = ?2
WHERE partition_key = 0
    AND budget_id = ?1
