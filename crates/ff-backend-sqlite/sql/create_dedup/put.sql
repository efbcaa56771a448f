-- create_dedup_put
-- Remembers an idempotency key, over what was remembered before.
-- Uses the primary key; writes ff_create_dedup_expiry.
INSERT INTO ff_create_dedup (namespace, idempotency_key, digest, partition_key, execution_id, expires_at_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (namespace, idempotency_key) DO UPDATE
SET
    digest = excluded.digest,
    partition_key = excluded.partition_key,
    execution_id = excluded.execution_id,
    expires_at_ms = excluded.expires_at_ms
