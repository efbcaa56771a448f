-- edge_group_forget
-- Removes the edge group of an execution.
-- Uses the primary keys of ff_exec_core and ff_edge_group.
DELETE FROM ff_edge_group
WHERE partition_key = 0
    AND flow_id = (SELECT flow_id FROM ff_exec_core WHERE partition_key = ?1 AND execution_id = ?2)
    AND downstream_eid = ?2
