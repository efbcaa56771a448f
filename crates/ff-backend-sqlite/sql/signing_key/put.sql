-- signing_key_put
-- A key of waitpoint tokens, inserted or replaced.
-- Uses the primary key.
INSERT INTO ff_waitpoint_hmac (kid, secret, rotated_at_ms, active, expires_at_ms)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (kid) DO UPDATE SET
    secret = excluded.secret,
    rotated_at_ms = excluded.rotated_at_ms,
    active = excluded.active,
    expires_at_ms = excluded.expires_at_ms
