-- clock_raise_floor
-- Engine time as of this transaction; it never falls. One row.
UPDATE ff_engine_clock
SET floor_ms = ?1
WHERE floor_ms < ?1
