-- budget_charge_load
-- What an execution was charged in a period.
-- Uses the primary key.
SELECT dimensions_key, delta_total
FROM ff_budget_usage_by_exec
WHERE partition_key = 0
    AND budget_id = ?1
    AND execution_id = ?2
    AND period = ?3
ORDER BY dimensions_key
