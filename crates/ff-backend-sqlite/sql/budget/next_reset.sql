-- budget_next_reset
-- When the next reset is due.
-- Uses the head of ff_budget_policy_reset.
SELECT min(next_reset_at_ms)
FROM ff_budget_policy INDEXED BY ff_budget_policy_reset
WHERE next_reset_at_ms IS NOT NULL
