-- quota_lanes
-- Lanes bound to a quota policy, by name.
-- Uses ff_lane_registry_quota.
SELECT lane_id
FROM ff_lane_registry INDEXED BY ff_lane_registry_quota
WHERE quota_policy_id = ?1
ORDER BY lane_id
