-- worker_registry_leases_held
-- How many leases that live at ?1 each worker instance holds.
-- Walks the live leases in ff_attempt_lease_expiry, with one search of ff_exec_core for each.
SELECT a.worker_instance_id, count(*)
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
CROSS JOIN ff_exec_core AS e
WHERE a.lease_expires_at_ms IS NOT NULL
    AND a.lease_expires_at_ms > ?1
    AND a.worker_instance_id IS NOT NULL
    AND e.partition_key = a.partition_key
    AND e.execution_id = a.execution_id
    AND e.attempt_index = a.attempt_index
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state = 'leased'
GROUP BY a.worker_instance_id
ORDER BY a.worker_instance_id
