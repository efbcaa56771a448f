-- verify_i4
-- Acquisitions whose epoch does not exceed that of the acquisition before.
-- Sorts the acquisitions of ff_lease_event by execution; the sorter spills to a temporary file.
SELECT
    partition_key,
    unhex(execution_id, '-') AS execution_id,
    'lease event ' || event_id || ' was acquired with epoch ' || lease_epoch || ' after epoch ' || before AS finding
FROM (
    SELECT
        v.partition_key,
        v.execution_id,
        v.event_id,
        v.lease_epoch,
        lag(v.lease_epoch) OVER (PARTITION BY v.partition_key, v.execution_id ORDER BY v.event_id) AS before
    FROM ff_lease_event AS v
    JOIN ff_exec_core AS e ON e.partition_key = v.partition_key AND e.execution_id = unhex(v.execution_id, '-')
    WHERE v.event_type IN ('acquired', 'reclaimed')
        AND v.lease_epoch IS NOT NULL
        AND v.occurred_at_ms >= e.created_at_ms
)
WHERE lease_epoch <= before
