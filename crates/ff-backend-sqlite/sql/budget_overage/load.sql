-- budget_overage_load
-- What was spent beyond a budget in a period, by dimension.
-- Uses the primary key.
SELECT dimension, amount
FROM ff_budget_overage_sum
WHERE budget_id = ?1
    AND period = ?2
    AND amount > 0
