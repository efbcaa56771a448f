-- lease_expired
-- Leases that ran out at or before ?1 and were not taken over, noticed by a sweep or not, in the order of the text of
-- their execution's id, `{fp:N}:<uuid>`: what orders the tag `{fp:N}` is N with its closing brace.
-- Uses ff_attempt_lease_expiry and ff_attempt_lease_expired, and the primary key of ff_exec_core.
SELECT
    a.lease_expires_at_ms AS at_ms,
    a.partition_key || '}' AS tag,
    a.partition_key,
    a.execution_id AS execution_id,
    a.attempt_index
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expiry
CROSS JOIN ff_exec_core AS e
WHERE a.lease_expires_at_ms BETWEEN ?2 AND ?1
    AND (a.lease_expires_at_ms, a.partition_key || '}', a.execution_id) > (?2, ?3, ?4)
    AND e.partition_key = a.partition_key
    AND e.execution_id = a.execution_id
    AND e.attempt_index = a.attempt_index
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state = 'leased'
    AND (
        ?5 IS NULL
        OR CASE
            WHEN json_valid(e.raw_fields) THEN coalesce(json_extract(e.raw_fields, '$.namespace'), '') = ?5
            ELSE 0
        END
    )
UNION ALL
SELECT
    a.lease_expired_at_ms AS at_ms,
    a.partition_key || '}' AS tag,
    a.partition_key,
    a.execution_id AS execution_id,
    a.attempt_index
FROM ff_attempt AS a INDEXED BY ff_attempt_lease_expired
CROSS JOIN ff_exec_core AS e
WHERE a.lease_expired_at_ms BETWEEN ?2 AND ?1
    AND (a.lease_expired_at_ms, a.partition_key || '}', a.execution_id) > (?2, ?3, ?4)
    AND e.partition_key = a.partition_key
    AND e.execution_id = a.execution_id
    AND e.attempt_index = a.attempt_index
    AND e.lifecycle_phase = 'active'
    AND e.ownership_state IN ('lease_expired_reclaimable', 'lease_revoked')
    AND (
        ?5 IS NULL
        OR CASE
            WHEN json_valid(e.raw_fields) THEN coalesce(json_extract(e.raw_fields, '$.namespace'), '') = ?5
            ELSE 0
        END
    )
ORDER BY at_ms, tag, execution_id
LIMIT ?6
