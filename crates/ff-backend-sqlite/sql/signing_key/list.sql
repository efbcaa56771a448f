-- signing_key_list
-- The keys of waitpoint tokens.
-- Walks the table: a handful of rows.
SELECT kid, secret, rotated_at_ms, active, expires_at_ms
FROM ff_waitpoint_hmac
ORDER BY kid
