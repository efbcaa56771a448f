-- clock_read_floor
-- The engine time below which no process on this database may answer. One row.
SELECT floor_ms
FROM ff_engine_clock
