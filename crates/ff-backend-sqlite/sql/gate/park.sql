-- gate_park
-- The gate behind which an execution waits.
-- Uses the primary key.
UPDATE ff_exec_core
SET parked_by = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
