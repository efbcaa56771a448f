-- lane_standing
-- What a claim asks about a lane before it looks at its line. A lane that nobody registered has its gates too.
-- Uses the primary keys.
SELECT l.state, l.quota_policy_id, EXISTS (SELECT 1 FROM ff_gate WHERE lane_id = ?1)
FROM (SELECT 1)
LEFT JOIN ff_lane_registry AS l ON l.lane_id = ?1
