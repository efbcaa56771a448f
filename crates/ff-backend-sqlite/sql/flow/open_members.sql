-- flow_open_members
-- The members of a flow that stand between ?2 and ?3, in order of their standing.
-- Uses ff_exec_core_flow.
SELECT partition_key, execution_id, flow_standing
FROM ff_exec_core INDEXED BY ff_exec_core_flow
WHERE partition_key = 0
    AND flow_id = ?1
    AND flow_standing BETWEEN ?2 AND ?3
ORDER BY flow_standing, execution_id
LIMIT ?4
