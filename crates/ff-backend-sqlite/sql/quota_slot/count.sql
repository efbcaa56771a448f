-- quota_slot_count
-- How many executions other than (?3, ?4) have a lease that takes a slot of quota ?1 and lives at ?2.
-- Uses the primary keys; reads each slot of the quota.
SELECT count(*)
FROM ff_quota_slot AS s
CROSS JOIN ff_exec_core AS e
CROSS JOIN ff_attempt AS a
WHERE s.quota_policy_id = ?1
    AND NOT (s.partition_key IS ?3 AND s.execution_id IS ?4)
    AND e.partition_key = s.partition_key
    AND e.execution_id = s.execution_id
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state = 'leased'
    AND a.partition_key = e.partition_key
    AND a.execution_id = e.execution_id
    AND a.attempt_index = e.attempt_index
    AND a.lease_epoch = s.lease_epoch
    AND (a.lease_expires_at_ms IS NULL OR a.lease_expires_at_ms > ?2)
