-- edge_forget
-- Removes the edges into an execution.
-- Uses the primary key of ff_exec_core and ff_edge_downstream.
DELETE FROM ff_edge
WHERE partition_key = 0
    AND flow_id = (SELECT flow_id FROM ff_exec_core WHERE partition_key = ?1 AND execution_id = ?2)
    AND downstream_eid = ?2
