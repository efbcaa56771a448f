-- budget_report_trim
-- Forgets keys of reports whose day is over at ?1, at most ?2.
-- Uses ff_budget_usage_dedup_expiry.
DELETE FROM ff_budget_usage_dedup
WHERE rowid IN (
    SELECT rowid
    FROM ff_budget_usage_dedup INDEXED BY ff_budget_usage_dedup_expiry
    WHERE expires_at_ms <= ?1
    ORDER BY expires_at_ms
    LIMIT ?2
)
