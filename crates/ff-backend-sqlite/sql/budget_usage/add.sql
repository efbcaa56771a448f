-- budget_usage_add
-- Adds to a counter, if it then stays at or below ?6.
-- Uses the primary key.
INSERT INTO ff_budget_usage (partition_key, budget_id, dimensions_key, current_value, charged_value, updated_at_ms)
VALUES (0, ?1, ?2, ?3, ?4, ?5)
ON CONFLICT (partition_key, budget_id, dimensions_key) DO UPDATE
SET
    current_value = current_value + excluded.current_value,
    charged_value = charged_value + excluded.charged_value,
    updated_at_ms = excluded.updated_at_ms
WHERE ?6 IS NULL OR current_value + excluded.current_value <= ?6
