-- budget_usage_reset
-- Puts every counter of a budget to zero.
-- Uses the primary key.
UPDATE ff_budget_usage
SET
    current_value = 0,
    charged_value = 0,
    last_reset_at_ms = ?2,
    updated_at_ms = ?2
WHERE partition_key = 0
    AND budget_id = ?1
