-- budget_due
-- Budgets whose reset is due at ?1, at most ?2.
-- Uses ff_budget_policy_reset.
SELECT budget_id
FROM ff_budget_policy INDEXED BY ff_budget_policy_reset
WHERE next_reset_at_ms <= ?1
    AND partition_key = 0
ORDER BY next_reset_at_ms, budget_id
LIMIT ?2
