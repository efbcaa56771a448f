-- budget_overage_list
-- What was spent beyond a budget, by sequence, after one, at most ?3.
-- Uses ff_budget_overage_sequence.
SELECT sequence, partition_key, execution_id, dimension, amount, usage_before, hard_limit, recorded_at_ms
FROM ff_budget_overage INDEXED BY ff_budget_overage_sequence
WHERE budget_id = ?1
    AND sequence > ?2
ORDER BY sequence
LIMIT ?3
