-- create_dedup_load
-- A remembered idempotency key.
-- Uses the primary key.
SELECT digest, partition_key, execution_id, expires_at_ms
FROM ff_create_dedup
WHERE namespace = ?1
    AND idempotency_key = ?2
