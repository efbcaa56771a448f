-- grant_trim
-- Removes grants that expired before ?1, at most ?2.
-- Uses ff_claim_grant_expiry.
DELETE FROM ff_claim_grant
WHERE rowid IN (
    SELECT rowid
    FROM ff_claim_grant INDEXED BY ff_claim_grant_expiry
    WHERE expires_at_ms < ?1
    ORDER BY expires_at_ms
    LIMIT ?2
)
