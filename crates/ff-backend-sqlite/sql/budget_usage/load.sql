-- budget_usage_load
-- One budget's counters.
-- Uses the primary key.
SELECT dimensions_key, current_value
FROM ff_budget_usage
WHERE partition_key = 0
    AND budget_id = ?1
