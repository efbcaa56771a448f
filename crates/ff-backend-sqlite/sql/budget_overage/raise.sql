-- budget_overage_raise
-- Adds to what an execution spent beyond a budget, or, with a report's key, states it again.
-- Uses ff_budget_overage_report.
UPDATE ff_budget_overage INDEXED BY ff_budget_overage_report
SET
    amount = CASE WHEN report_key = '' THEN min(amount, 9223372036854775807 - ?7) ELSE 0 END + ?7,
    usage_before = ?8,
    hard_limit = ?9,
    recorded_at_ms = ?10
WHERE budget_id = ?1
    AND report_key = ?2
    AND period = ?3
    AND execution_id = ?5
    AND partition_key = ?4
    AND dimension = ?6
