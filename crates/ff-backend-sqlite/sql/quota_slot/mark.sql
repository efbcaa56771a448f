-- quota_slot_mark
-- Whether an execution's lease takes slots.
-- Uses the primary key.
UPDATE ff_exec_core
SET takes_slots = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
