-- budget_usage_take
-- Takes what was charged from a counter, down to zero.
-- Uses the primary key.
UPDATE ff_budget_usage
SET
    current_value = max(current_value - ?3, 0),
    charged_value = max(charged_value - ?3, 0),
    updated_at_ms = ?4
WHERE partition_key = 0
    AND budget_id = ?1
    AND dimensions_key = ?2
