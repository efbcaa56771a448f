-- quota_reservation_count
-- How many executions other than ?3 have a reservation of quota ?1 that lives at ?2, but no lease that takes a slot; and
-- when the first of all these reservations ends. One of an execution that has ended counts no more.
-- Uses the primary keys; reads each reservation of the quota, with a search of ff_exec_core and of ff_quota_slot for it.
SELECT count(*) FILTER (WHERE NOT takes_slot), min(expires_at_ms)
FROM (
    SELECT
        r.expires_at_ms,
        EXISTS (
            SELECT 1
            FROM ff_quota_slot AS s
            CROSS JOIN ff_exec_core AS e
            CROSS JOIN ff_attempt AS a
            WHERE s.quota_policy_id = r.quota_policy_id
                AND s.partition_key = CAST(substr(r.execution_id, 5) AS INTEGER)
                AND s.execution_id = unhex(substr(r.execution_id, -36), '-')
                AND e.partition_key = s.partition_key
                AND e.execution_id = s.execution_id
                AND e.lifecycle_phase = 'active'
                AND e.ownership_state = 'leased'
                AND a.partition_key = e.partition_key
                AND a.execution_id = e.execution_id
                AND a.attempt_index = e.attempt_index
                AND a.lease_epoch = s.lease_epoch
                AND (a.lease_expires_at_ms IS NULL OR a.lease_expires_at_ms > ?2)
        ) AS takes_slot
    FROM ff_quota_admitted AS r
    WHERE r.partition_key = 0
        AND r.quota_policy_id = ?1
        AND r.expires_at_ms > ?2
        AND r.execution_id IS NOT ?3
        AND NOT EXISTS (
            SELECT 1
            FROM ff_exec_core AS e
            WHERE e.partition_key = CAST(substr(r.execution_id, 5) AS INTEGER)
                AND e.execution_id = unhex(substr(r.execution_id, -36), '-')
                AND e.lifecycle_phase IN ('terminal', 'cancelled')
        )
)
