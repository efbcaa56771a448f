-- budget_overage_load
-- What was spent beyond a budget in a period.
-- Uses ff_budget_overage_period as a covering index.
SELECT dimension, amount
FROM ff_budget_overage INDEXED BY ff_budget_overage_period
WHERE budget_id = ?1
    AND period = ?2
