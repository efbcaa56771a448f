-- verify_i7
-- Moves outside the state machine: one that is not among the legal ones (?1, pairs in JSON), one that does not begin
-- where the one before ended, a row that is not in the state its last move led to, or whose public state is not the one
-- that its other columns give. Executions of which no move is recorded are left out.
-- Walks ff_transition by its primary key; one search of ff_exec_core for each execution.
WITH
    legal (from_state, to_state) AS MATERIALIZED (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?1)
    ),
    move AS (
        SELECT
            *,
            lag(to_state) OVER run AS before,
            row_number() OVER run AS number,
            lead(to_state) OVER run AS after
        FROM ff_transition
        WINDOW run AS (PARTITION BY partition_key, execution_id ORDER BY version)
    )
SELECT
    partition_key,
    execution_id,
    'version ' || version || ' (' || cause || ') moved from ' || coalesce(from_state, 'nothing') || ' to ' || to_state
        || ', which is not legal' AS finding
FROM move
WHERE NOT EXISTS (SELECT 1 FROM legal WHERE legal.from_state IS move.from_state AND legal.to_state = move.to_state)
UNION ALL
SELECT
    partition_key,
    execution_id,
    'version ' || version || ' (' || cause || ') moved from ' || coalesce(from_state, 'nothing')
        || ', and the move before led to ' || before
FROM move
WHERE number > 1 AND from_state IS NOT before
UNION ALL
SELECT
    e.partition_key,
    e.execution_id,
    'is ' || e.public_state || ', and its last move led to ' || move.to_state
FROM move
CROSS JOIN ff_exec_core AS e ON e.partition_key = move.partition_key AND e.execution_id = move.execution_id
WHERE move.after IS NULL AND CASE e.public_state WHEN 'running' THEN 'active' ELSE e.public_state END <> move.to_state
UNION ALL
SELECT
    partition_key,
    execution_id,
    'is ' || public_state || ', and its columns say ' || derived
FROM (
    SELECT
        partition_key,
        execution_id,
        public_state,
        CASE
            WHEN lifecycle_phase = 'terminal' THEN CASE terminal_outcome
                WHEN 'success' THEN 'completed'
                WHEN 'cancelled' THEN 'cancelled'
                WHEN 'expired' THEN 'expired'
                WHEN 'skipped' THEN 'skipped'
                ELSE 'failed'
            END
            WHEN lifecycle_phase IN ('active', 'suspended') THEN lifecycle_phase
            WHEN lifecycle_phase = 'runnable' THEN CASE eligibility_state
                WHEN 'not_eligible_until_time' THEN 'delayed'
                WHEN 'blocked_by_dependencies' THEN 'waiting_children'
                WHEN 'blocked_by_budget' THEN 'rate_limited'
                WHEN 'blocked_by_quota' THEN 'rate_limited'
                ELSE 'waiting'
            END
            WHEN lifecycle_phase = 'submitted' THEN 'waiting'
        END AS derived
    FROM ff_exec_core NOT INDEXED
    WHERE version > 0
)
WHERE CASE public_state WHEN 'running' THEN 'active' ELSE public_state END <> derived
