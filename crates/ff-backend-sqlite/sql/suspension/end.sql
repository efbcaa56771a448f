-- suspension_end
-- Ends the open suspension of an execution.
-- Uses the primary key.
UPDATE ff_suspension_current
SET
    version = version + 1,
    closed_at_ms = ?3,
    close_reason = ?4
WHERE partition_key = ?1
    AND execution_id = ?2
    AND closed_at_ms IS NULL
