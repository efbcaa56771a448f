-- budget_report_put
-- Remembers a report's key.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_budget_usage_dedup (partition_key, dedup_key, outcome_json, applied_at_ms, expires_at_ms)
VALUES (0, ?1, ?2, ?3, ?4)
