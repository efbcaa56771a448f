-- verify_i5
-- Traces of writes by a holder that had lost its lease: an attempt with an epoch out of order, or a lease event with an
-- older epoch than one before it.
-- Walks ff_attempt by its primary key; sorts ff_lease_event by execution, spilling to a temporary file.
SELECT
    partition_key,
    execution_id,
    'attempt ' || attempt_index || ' has epoch ' || lease_epoch || ', and the attempt before it ' || before AS finding
FROM (
    SELECT
        partition_key,
        execution_id,
        attempt_index,
        lease_epoch,
        lag(lease_epoch) OVER (PARTITION BY partition_key, execution_id ORDER BY attempt_index) AS before
    FROM ff_attempt
    WHERE attempt_id IS NOT NULL
)
WHERE lease_epoch <= before
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'the current attempt ' || a.attempt_index || ' has epoch ' || a.lease_epoch || ', and the execution '
        || e.lease_epoch
FROM ff_exec_core AS e NOT INDEXED
CROSS JOIN ff_attempt AS a
    ON a.partition_key = e.partition_key
    AND a.execution_id = e.execution_id
    AND a.attempt_index = e.attempt_index
WHERE a.attempt_id IS NOT NULL AND a.lease_epoch < e.lease_epoch
UNION ALL
SELECT
    partition_key,
    unhex(execution_id, '-'),
    'lease event ' || event_id || ' (' || event_type || ') carries epoch ' || lease_epoch || ' after epoch ' || before
FROM (
    SELECT
        v.partition_key,
        v.execution_id,
        v.event_id,
        v.event_type,
        v.lease_epoch,
        lag(v.lease_epoch) OVER (PARTITION BY v.partition_key, v.execution_id ORDER BY v.event_id) AS before
    FROM ff_lease_event AS v
    JOIN ff_exec_core AS e ON e.partition_key = v.partition_key AND e.execution_id = unhex(v.execution_id, '-')
    WHERE v.lease_epoch IS NOT NULL AND v.occurred_at_ms >= e.created_at_ms
)
WHERE event_type NOT IN ('acquired', 'reclaimed') AND lease_epoch < before
