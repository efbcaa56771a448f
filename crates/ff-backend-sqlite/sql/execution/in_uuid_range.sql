-- execution_in_uuid_range
-- The executions of one partition whose UUIDs lie in ?2 to ?3, both included, in order.
-- Uses the primary key, which covers it.
SELECT execution_id
FROM ff_exec_core
WHERE partition_key = ?1
    AND execution_id BETWEEN ?2 AND ?3
ORDER BY execution_id
LIMIT ?4
