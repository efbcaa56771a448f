-- verify_i16
-- Slots that no lease holds, leases without their slot, quotas with more live leases than slots, and windows that more
-- leases began in than their rate allows.
-- Walks ff_quota_slot, its windows, and the executions that say they take slots.
SELECT
    s.partition_key,
    s.execution_id,
    'holds a slot of quota ' || s.quota_policy_id || ' without the lease of epoch ' || s.lease_epoch AS finding
FROM ff_quota_slot AS s
WHERE NOT EXISTS (
    SELECT 1
    FROM ff_exec_core AS e
    WHERE e.partition_key = s.partition_key
        AND e.execution_id = s.execution_id
        AND e.lifecycle_phase = 'active'
        AND e.ownership_state = 'leased'
        AND e.lease_epoch = s.lease_epoch
)
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'takes slots, and none is recorded'
FROM ff_exec_core AS e
WHERE e.takes_slots = 1
    AND NOT EXISTS (
        SELECT 1 FROM ff_quota_slot AS s WHERE s.partition_key = e.partition_key AND s.execution_id = e.execution_id
    )
UNION ALL
SELECT
    NULL,
    NULL,
    'quota ' || q.quota_policy_id || ' has ' || count(*) || ' leases for ' || q.active_concurrency_cap || ' slots'
FROM ff_quota_policy AS q
JOIN ff_quota_slot AS s ON s.quota_policy_id = q.quota_policy_id
WHERE q.active_concurrency_cap > 0
GROUP BY q.quota_policy_id
HAVING count(*) > q.active_concurrency_cap
UNION ALL
SELECT
    NULL,
    NULL,
    'quota ' || later.quota_policy_id || ' let lease ' || later.place || ' begin at ' || later.admitted_at_ms
        || ', within a window of ' || q.max_requests_per_window || ' others since ' || earlier.admitted_at_ms
FROM ff_quota_policy AS q
JOIN (
    SELECT
        quota_policy_id,
        admitted_at_ms,
        row_number() OVER (PARTITION BY quota_policy_id ORDER BY admitted_at_ms) AS place
    FROM ff_quota_window
    WHERE dimension LIKE 'lease:%'
) AS later ON later.quota_policy_id = q.quota_policy_id
JOIN (
    SELECT
        quota_policy_id,
        admitted_at_ms,
        row_number() OVER (PARTITION BY quota_policy_id ORDER BY admitted_at_ms) AS place
    FROM ff_quota_window
    WHERE dimension LIKE 'lease:%'
) AS earlier ON earlier.quota_policy_id = later.quota_policy_id
    AND earlier.place = later.place - q.max_requests_per_window
WHERE q.max_requests_per_window > 0
    AND later.admitted_at_ms - earlier.admitted_at_ms
        < iif(q.requests_per_window_seconds = 0, 60, q.requests_per_window_seconds) * 1000
