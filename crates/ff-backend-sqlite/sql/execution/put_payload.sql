-- execution_put_payload
-- Another input for an execution; NULL when it stands beside the row.
-- Uses the primary key.
UPDATE ff_exec_core
SET payload = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
