-- quota_reservation_mark
-- Whether slots are reserved for an execution.
-- Uses the primary key.
UPDATE ff_exec_core
SET reserves_slots = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
