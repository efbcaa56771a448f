-- lane_register
-- A lane that an execution was created on; nothing if it is known.
-- Uses the primary key.
INSERT OR IGNORE INTO ff_lane_registry (lane_id, registered_at_ms, registered_by)
VALUES (?1, ?2, 'create_execution')
