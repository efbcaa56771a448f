-- budget_charge_trimmed
-- Notes the budgets whose charges of earlier periods are gone, at most ?2.
-- Uses ff_budget_policy_old_charges and ff_budget_usage_by_exec_period.
UPDATE ff_budget_policy
SET has_old_charges = 0
WHERE rowid IN (
    SELECT p.rowid
    FROM ff_budget_policy AS p INDEXED BY ff_budget_policy_old_charges
    WHERE p.has_old_charges = 1
        AND NOT EXISTS (
            SELECT 1
            FROM ff_budget_usage_by_exec AS c INDEXED BY ff_budget_usage_by_exec_period
            WHERE c.budget_id = p.budget_id
                AND c.period < p.period
        )
    LIMIT ?2
)
