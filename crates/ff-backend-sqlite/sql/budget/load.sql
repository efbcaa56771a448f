-- budget_load
-- One budget's policy.
-- Uses the primary key.
SELECT
    policy_json,
    scope_type,
    scope_id,
    enforcement_mode,
    breach_count,
    soft_breach_count,
    last_breach_at_ms,
    last_breach_dim,
    next_reset_at_ms,
    period,
    created_at_ms,
    updated_at_ms
FROM ff_budget_policy
WHERE partition_key = 0
    AND budget_id = ?1
