-- clock_record_step
-- A forward jump of the wall clock above an hour, for `verify`.
INSERT INTO ff_clock_step (at_ms, from_ms, to_ms)
VALUES (?1, ?2, ?3)
