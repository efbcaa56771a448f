-- flow_due_members
-- The members of a flow that hold a lease and have something due at ?2.
-- Uses ff_exec_core_flow and the primary key of ff_attempt; reads every member that holds a lease.
SELECT e.partition_key, e.execution_id
FROM ff_exec_core AS e INDEXED BY ff_exec_core_flow
LEFT JOIN ff_attempt AS a
    ON a.partition_key = e.partition_key
    AND a.execution_id = e.execution_id
    AND a.attempt_index = e.attempt_index
WHERE e.partition_key = 0
    AND e.flow_id = ?1
    AND e.flow_standing = 5
    AND (e.due_at_ms <= ?2 OR a.lease_expires_at_ms <= ?2)
ORDER BY e.execution_id
LIMIT ?3
