-- verify_clock
-- What happened above the floor of the engine's clock, so that engine time could run backwards.
-- Scans what it looks at.
WITH clock AS (SELECT coalesce(max(floor_ms), 0) AS floor_ms FROM ff_engine_clock)
SELECT
    partition_key,
    execution_id,
    'version ' || version || ' was reached at ' || at_ms || ', above the floor ' || floor_ms AS finding
FROM ff_transition, clock
WHERE at_ms > floor_ms
UNION ALL
SELECT
    partition_key,
    unhex(execution_id, '-'),
    'lease event ' || event_id || ' happened at ' || occurred_at_ms || ', above the floor ' || floor_ms
FROM ff_lease_event, clock
WHERE lease_epoch IS NOT NULL AND occurred_at_ms > floor_ms
UNION ALL
SELECT
    partition_key,
    execution_id,
    'attempt ' || attempt_index || ' began at ' || started_at_ms || ', above the floor ' || floor_ms
FROM ff_attempt, clock
WHERE attempt_id IS NOT NULL AND started_at_ms > floor_ms
UNION ALL
SELECT NULL, NULL, 'a clock step was noted at ' || at_ms || ', above the floor ' || floor_ms
FROM ff_clock_step, clock
WHERE at_ms > floor_ms
