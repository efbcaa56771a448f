-- lane_list
-- Lanes by name, after one.
-- Uses the primary key.
SELECT lane_id, state, registered_at_ms, quota_policy_id
FROM ff_lane_registry
WHERE lane_id > ?1
ORDER BY lane_id
LIMIT ?2
