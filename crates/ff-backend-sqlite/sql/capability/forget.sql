-- capability_forget
-- Removes the capabilities of a UUID that no partition holds any more.
-- Uses the primary keys of ff_execution_capabilities and ff_exec_core, one search a partition.
DELETE FROM ff_execution_capabilities
WHERE execution_id = ?1
    AND NOT EXISTS (
        SELECT 1
        FROM ff_exec_core
        WHERE partition_key IN (SELECT partition_key FROM ff_partition_in_use)
            AND execution_id = ?1
    )
