-- quota_slot_live
-- Executions whose lease takes a slot of quota ?1 and lives at ?2, at most ?3.
-- Uses the primary keys; reads each slot of the quota.
SELECT s.partition_key, s.execution_id, e.lane_id, a.worker_instance_id, a.lease_expires_at_ms
FROM ff_quota_slot AS s
CROSS JOIN ff_exec_core AS e
CROSS JOIN ff_attempt AS a
WHERE s.quota_policy_id = ?1
    AND e.partition_key = s.partition_key
    AND e.execution_id = s.execution_id
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state = 'leased'
    AND a.partition_key = e.partition_key
    AND a.execution_id = e.execution_id
    AND a.attempt_index = e.attempt_index
    AND a.lease_epoch = s.lease_epoch
    AND (a.lease_expires_at_ms IS NULL OR a.lease_expires_at_ms > ?2)
ORDER BY s.partition_key, s.execution_id
LIMIT ?3
