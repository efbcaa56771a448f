-- budget_count_hard_breach
-- Counts a hard breach, if the budget has a policy.
-- Uses the primary key.
UPDATE ff_budget_policy
SET
    breach_count = breach_count + 1,
    last_breach_at_ms = ?3,
    last_breach_dim = ?2,
    updated_at_ms = ?3
WHERE partition_key = 0
    AND budget_id = ?1
