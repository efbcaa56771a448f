-- suspend_dedup_put
-- Remembers a suspend.
-- Uses the primary key.
INSERT INTO ff_suspend_dedup (partition_key, idempotency_key, outcome_json, created_at_ms, expires_at_ms)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (partition_key, idempotency_key) DO UPDATE SET
    outcome_json = excluded.outcome_json,
    created_at_ms = excluded.created_at_ms,
    expires_at_ms = excluded.expires_at_ms
