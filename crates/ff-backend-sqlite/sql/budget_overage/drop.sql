-- budget_overage_drop
-- The overage of a report that was accepted after all.
-- Uses ff_budget_overage_report.
DELETE FROM ff_budget_overage INDEXED BY ff_budget_overage_report
WHERE budget_id = ?1
    AND report_key = ?2
