-- verify_state
-- Columns that contradict each other (contract A.4.3), in rows that the engine has written.
-- Scans ff_exec_core; one search of ff_attempt for each execution that is active.
SELECT partition_key, execution_id, finding
FROM (
    SELECT
        e.partition_key,
        e.execution_id,
        CASE
            WHEN e.lifecycle_phase = 'terminal' AND coalesce(e.terminal_outcome, 'none') = 'none'
                THEN 'is terminal without an outcome'
            WHEN e.lifecycle_phase = 'terminal' AND e.terminal_at_ms IS NULL THEN 'is terminal without an end'
            WHEN e.lifecycle_phase <> 'terminal' AND coalesce(e.terminal_outcome, 'none') <> 'none'
                THEN 'is ' || e.lifecycle_phase || ' with the outcome ' || e.terminal_outcome
            WHEN e.lifecycle_phase = 'terminal' AND e.ownership_state <> 'unowned'
                THEN 'is terminal and ' || e.ownership_state
            WHEN e.lifecycle_phase = 'terminal' AND e.eligibility_state <> 'not_applicable'
                THEN 'is terminal and ' || e.eligibility_state
            WHEN e.lifecycle_phase = 'terminal' AND coalesce(e.blocking_reason, 'none') <> 'none'
                THEN 'is terminal and blocked: ' || e.blocking_reason
            WHEN e.lifecycle_phase IN ('runnable', 'submitted', 'suspended') AND e.ownership_state <> 'unowned'
                THEN 'is ' || e.lifecycle_phase || ' and ' || e.ownership_state
            WHEN e.lifecycle_phase = 'active'
                AND e.ownership_state NOT IN ('leased', 'lease_expired_reclaimable', 'lease_revoked')
                THEN 'is active and ' || e.ownership_state
            WHEN e.lifecycle_phase = 'active' AND a.attempt_index IS NULL
                THEN 'is active without its attempt ' || e.attempt_index
            WHEN e.lifecycle_phase = 'active'
                AND e.ownership_state = 'leased'
                AND a.attempt_id IS NOT NULL
                AND a.lease_expires_at_ms IS NULL
                THEN 'is leased without an expiry on attempt ' || e.attempt_index
            WHEN e.lifecycle_phase = 'suspended'
                AND NOT EXISTS (
                    SELECT 1
                    FROM ff_suspension_current AS s
                    WHERE s.partition_key = e.partition_key AND s.execution_id = e.execution_id
                )
                THEN 'is suspended without an open suspension'
        END AS finding
    FROM ff_exec_core AS e NOT INDEXED
    LEFT JOIN ff_attempt AS a
        ON e.lifecycle_phase = 'active'
        AND a.partition_key = e.partition_key
        AND a.execution_id = e.execution_id
        AND a.attempt_index = e.attempt_index
    WHERE e.version > 0
)
WHERE finding IS NOT NULL
