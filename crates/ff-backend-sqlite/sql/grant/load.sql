-- grant_load
-- The newest grant of a kind for an execution. A grant without a lane is for the execution's own.
-- Uses ff_claim_grant_execution.
SELECT
    grant_id,
    worker_id,
    worker_instance_id,
    coalesce(
        lane_id,
        (
            SELECT e.lane_id FROM ff_exec_core AS e
            WHERE e.partition_key = g.partition_key AND e.execution_id = g.execution_id
        ),
        ''
    ) AS lane_id,
    capability_hash,
    worker_capabilities,
    route_snapshot_json,
    admission_summary,
    grant_ttl_ms,
    issued_at_ms,
    expires_at_ms
FROM ff_claim_grant AS g
WHERE partition_key = ?1
    AND execution_id = ?2
    AND kind = ?3
ORDER BY issued_at_ms DESC, grant_id DESC
LIMIT 1
