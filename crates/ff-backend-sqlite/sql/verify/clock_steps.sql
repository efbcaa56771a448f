-- verify_clock_steps
-- The newest ?1 forward jumps of the wall clock above an hour.
-- Scans ff_clock_step, a row a jump.
SELECT at_ms, from_ms, to_ms
FROM ff_clock_step
ORDER BY at_ms DESC
LIMIT ?1
