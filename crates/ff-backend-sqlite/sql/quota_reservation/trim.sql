-- quota_reservation_trim
-- Removes reservations that are over at ?1, at most ?2.
-- Uses ff_quota_admitted_expiry.
DELETE FROM ff_quota_admitted
WHERE rowid IN (
    SELECT rowid
    FROM ff_quota_admitted INDEXED BY ff_quota_admitted_expiry
    WHERE expires_at_ms <= ?1
    ORDER BY expires_at_ms
    LIMIT ?2
)
