-- budget_put
-- A budget's policy, whole. json_patch keeps the members of policy_json that the engine does not know.
-- Uses the primary key.
INSERT INTO ff_budget_policy (
    partition_key,
    budget_id,
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
)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (partition_key, budget_id) DO UPDATE
SET
    policy_json = json_patch(policy_json, excluded.policy_json),
    breach_count = excluded.breach_count,
    soft_breach_count = excluded.soft_breach_count,
    last_breach_at_ms = excluded.last_breach_at_ms,
    last_breach_dim = excluded.last_breach_dim,
    next_reset_at_ms = excluded.next_reset_at_ms,
    period = excluded.period,
    updated_at_ms = excluded.updated_at_ms
