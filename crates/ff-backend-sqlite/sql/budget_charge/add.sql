-- budget_charge_add
-- Adds to what an execution was charged in a period; an older period's charge is replaced.
-- Uses the primary key.
INSERT INTO ff_budget_usage_by_exec (
    partition_key,
    budget_id,
    execution_id,
    dimensions_key,
    delta_total,
    period,
    updated_at_ms
)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (partition_key, budget_id, execution_id, dimensions_key) DO UPDATE
SET
    delta_total = CASE WHEN period = excluded.period THEN delta_total ELSE 0 END + excluded.delta_total,
    period = excluded.period,
    updated_at_ms = excluded.updated_at_ms
