-- signing_key_drop
-- Removes a key of waitpoint tokens.
-- Uses the primary key.
DELETE FROM ff_waitpoint_hmac
WHERE kid = ?1
