-- verify_i17
-- Counters that differ from the sum of what executions were charged, or hold less than that. Counters that SQL from
-- outside wrote have no sum of ours.
-- Walks ff_budget_usage and searches ff_budget_usage_by_exec.
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
