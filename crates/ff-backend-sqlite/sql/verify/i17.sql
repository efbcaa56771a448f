-- verify_i17
-- Counters that differ from the sum of what executions were charged, or hold less than that; sums of overages that differ
-- from their rows; charges of earlier periods that nothing is to remove. Counters that SQL from outside wrote have no sum
-- of ours.
-- Walks ff_budget_usage, ff_budget_overage and ff_budget_policy, and searches ff_budget_usage_by_exec.
SELECT
    NULL,
    NULL,
    'budget ' || u.budget_id || ', ' || u.dimensions_key || ': ' || u.current_value || ' counted, ' || u.charged_value
        || ' of it charged, and the charges are ' || u.charges AS finding
FROM (
    SELECT
        usage.budget_id,
        usage.dimensions_key,
        usage.current_value,
        usage.charged_value,
        (
            SELECT coalesce(sum(c.delta_total), 0)
            FROM ff_budget_usage_by_exec AS c
            WHERE c.partition_key = usage.partition_key
                AND c.budget_id = usage.budget_id
                AND c.dimensions_key = usage.dimensions_key
                AND c.period = coalesce((
                    SELECT p.period
                    FROM ff_budget_policy AS p
                    WHERE p.partition_key = usage.partition_key AND p.budget_id = usage.budget_id
                ), 0)
        ) AS charges
    FROM ff_budget_usage AS usage
    WHERE usage.charged_value IS NOT NULL
) AS u
WHERE u.charged_value <> u.charges OR u.current_value < u.charged_value
UNION ALL
SELECT
    NULL,
    NULL,
    'budget ' || o.budget_id || ', ' || o.dimension || ': overages of ' || o.amount || ', and their sum is ' || o.sum
FROM (
    SELECT
        row.budget_id,
        row.dimension,
        sum(row.amount) AS amount,
        coalesce((
            SELECT s.amount
            FROM ff_budget_overage_sum AS s
            WHERE s.budget_id = row.budget_id AND s.period = row.period AND s.dimension = row.dimension
        ), 0) AS sum
    FROM ff_budget_overage AS row
    WHERE row.period = coalesce((
            SELECT p.period
            FROM ff_budget_policy AS p
            WHERE p.partition_key = 0 AND p.budget_id = row.budget_id
        ), 0)
    GROUP BY row.budget_id, row.period, row.dimension
) AS o
WHERE o.amount <> o.sum
UNION ALL
SELECT
    NULL,
    NULL,
    'budget ' || s.budget_id || ', ' || s.dimension || ': no overages, and their sum is ' || s.amount
FROM ff_budget_overage_sum AS s
WHERE s.amount <> 0
    AND NOT EXISTS (
        SELECT 1
        FROM ff_budget_overage AS o
        WHERE o.budget_id = s.budget_id AND o.period = s.period AND o.dimension = s.dimension
    )
UNION ALL
SELECT
    NULL,
    NULL,
    'budget ' || p.budget_id || ': charges of earlier periods are left, and nothing is to remove them'
FROM ff_budget_policy AS p
WHERE p.has_old_charges = 0
    AND EXISTS (
        SELECT 1
        FROM ff_budget_usage_by_exec AS c INDEXED BY ff_budget_usage_by_exec_period
        WHERE c.budget_id = p.budget_id
            AND c.period < p.period
    )
