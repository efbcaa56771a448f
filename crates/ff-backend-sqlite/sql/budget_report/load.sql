-- budget_report_load
-- Until when a report's key (?1) is remembered, and whether an overage was recorded under it (?2 of budget ?3).
-- Uses the primary key and ff_budget_overage_report.
SELECT
    (SELECT expires_at_ms FROM ff_budget_usage_dedup WHERE partition_key = 0 AND dedup_key = ?1),
    EXISTS (
        SELECT 1 FROM ff_budget_overage INDEXED BY ff_budget_overage_report WHERE budget_id = ?3 AND report_key = ?2
    )
