-- budget_list
-- Budgets by id, after one.
-- Uses the primary key.
SELECT budget_id
FROM ff_budget_policy
WHERE partition_key = 0
    AND budget_id > ?1
ORDER BY budget_id
LIMIT ?2
