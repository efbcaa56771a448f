-- lane_standing
-- What a claim asks about a lane before it looks at its line. A lane that nobody registered has its gates too.
-- Uses the primary keys.
SELECT
    (SELECT state FROM ff_lane_registry WHERE lane_id = ?1),
    (SELECT quota_policy_id FROM ff_lane_registry WHERE lane_id = ?1),
    EXISTS (SELECT 1 FROM ff_gate WHERE lane_id = ?1)
