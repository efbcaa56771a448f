-- lane_count_leased
-- How many executions of a lane run under a lease.
-- Uses ff_attempt_lease_expiry and the primary key of ff_exec_core; reads every live lease.
SELECT count(*)
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
CROSS JOIN ff_exec_core AS e
WHERE a.lease_expires_at_ms IS NOT NULL
    AND e.partition_key = a.partition_key
    AND e.execution_id = a.execution_id
    AND e.attempt_index = a.attempt_index
    AND e.lane_id = ?1
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state = 'leased'
