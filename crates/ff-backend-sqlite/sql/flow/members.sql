-- flow_members
-- The members of a flow.
-- Uses ff_exec_core_flow.
SELECT partition_key, execution_id
FROM ff_exec_core INDEXED BY ff_exec_core_flow
WHERE partition_key = 0
    AND flow_id = ?1
ORDER BY execution_id
LIMIT ?2
