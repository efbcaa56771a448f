-- create_dedup_trim
-- Removes idempotency keys whose time is over at ?1, at most ?2.
-- Uses ff_create_dedup_expiry, which covers the search.
DELETE FROM ff_create_dedup
WHERE (namespace, idempotency_key) IN (
    SELECT namespace, idempotency_key
    FROM ff_create_dedup INDEXED BY ff_create_dedup_expiry
    WHERE expires_at_ms <= ?1
    ORDER BY expires_at_ms
    LIMIT ?2
)
