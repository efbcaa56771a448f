-- lane_put
-- A lane's state; the lane may be new.
-- Uses the primary key.
INSERT INTO ff_lane_registry (lane_id, registered_at_ms, registered_by, state)
VALUES (?1, ?2, 'set_lane_state', ?3)
ON CONFLICT (lane_id) DO UPDATE
SET state = excluded.state
