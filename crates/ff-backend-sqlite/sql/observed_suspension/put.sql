-- observed_suspension_put
-- Whose signals an attempt sees from now on.
-- Uses the primary key.
INSERT INTO ff_observed_suspension (partition_key, execution_id, suspension_id, attempt_index)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (partition_key, execution_id) DO UPDATE SET
    suspension_id = excluded.suspension_id,
    attempt_index = excluded.attempt_index
