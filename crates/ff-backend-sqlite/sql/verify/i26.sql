-- verify_i26
-- Instants that fall while their number rises.
-- Walks the outboxes and ff_transition by their primary keys.
SELECT
    partition_key,
    unhex(execution_id, '-') AS execution_id,
    'lease event ' || event_id || ' happened at ' || occurred_at_ms || ', and the one before it at ' || before AS finding
FROM (
    SELECT *, lag(occurred_at_ms) OVER (ORDER BY event_id) AS before
    FROM ff_lease_event
    WHERE lease_epoch IS NOT NULL
)
WHERE occurred_at_ms < before
UNION ALL
SELECT
    partition_key,
    execution_id,
    'completion event ' || event_id || ' happened at ' || occurred_at_ms || ', and the one before it at ' || before
FROM (
    SELECT c.*, lag(c.occurred_at_ms) OVER (ORDER BY c.event_id) AS before
    FROM ff_completion_event AS c
    -- The engine commits an end at the instant it happens; a row from outside takes the wall clock for one of both.
    WHERE c.committed_at_ms = c.occurred_at_ms
)
WHERE occurred_at_ms < before
UNION ALL
SELECT
    partition_key,
    execution_id,
    'version ' || version || ' (' || cause || ') was reached at ' || at_ms || ', and the one before it at ' || before
FROM (
    SELECT *, lag(at_ms) OVER (PARTITION BY partition_key, execution_id ORDER BY version) AS before
    FROM ff_transition
)
WHERE at_ms < before
