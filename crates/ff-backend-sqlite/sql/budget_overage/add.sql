-- budget_overage_add
-- What an execution spent beyond a budget, for the first time.
INSERT INTO ff_budget_overage (
    budget_id,
    report_key,
    period,
    partition_key,
    execution_id,
    dimension,
    amount,
    usage_before,
    hard_limit,
    recorded_at_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
