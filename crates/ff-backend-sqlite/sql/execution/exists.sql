-- execution_exists
-- Whether an execution exists.
-- Uses the primary key.
SELECT EXISTS (SELECT 1 FROM ff_exec_core WHERE partition_key = ?1 AND execution_id = ?2)
