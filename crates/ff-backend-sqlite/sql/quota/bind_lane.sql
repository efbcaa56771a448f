-- quota_bind_lane
-- The quota a lane is bound to; the lane may be new.
-- Uses the primary key.
INSERT INTO ff_lane_registry (lane_id, registered_at_ms, registered_by, quota_policy_id)
VALUES (?1, ?2, 'bind_quota', ?3)
ON CONFLICT (lane_id) DO UPDATE
SET quota_policy_id = excluded.quota_policy_id
