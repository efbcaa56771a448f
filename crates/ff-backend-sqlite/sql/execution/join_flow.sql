-- execution_join_flow
-- Puts an execution into a flow, unless it is there already: flow_id has an index, which every other write spares.
-- Uses the primary key.
UPDATE ff_exec_core
SET flow_id = ?3
WHERE partition_key = ?1
    AND execution_id = ?2
    AND flow_id IS NOT ?3
