-- budget_overage_list
-- What was spent beyond a budget, by sequence, after one. The caller stops when it has enough.
-- Uses the primary key, from ?2 on.
SELECT sequence, partition_key, execution_id, dimension, amount, usage_before, hard_limit, recorded_at_ms
FROM ff_budget_overage
WHERE sequence > ?2
    AND budget_id = +?1
ORDER BY sequence
LIMIT ?3
