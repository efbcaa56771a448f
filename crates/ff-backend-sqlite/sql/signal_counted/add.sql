-- signal_counted_add
-- A leaf has counted something.
-- Uses the primary key.
INSERT INTO ff_signal_counted (partition_key, execution_id, thing, leaf)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO NOTHING
