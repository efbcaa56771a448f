-- quota_reservation_put
-- A reservation.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_quota_admitted (partition_key, quota_policy_id, execution_id, admitted_at_ms, expires_at_ms)
VALUES (0, ?1, ?2, ?3, ?4)
