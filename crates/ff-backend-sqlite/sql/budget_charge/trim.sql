-- budget_charge_trim
-- Removes what executions were charged in earlier periods, at most ?2.
-- Uses ff_budget_policy_old_charges and ff_budget_usage_by_exec_period.
DELETE FROM ff_budget_usage_by_exec
WHERE rowid IN (
    SELECT c.rowid
    FROM ff_budget_policy AS p INDEXED BY ff_budget_policy_old_charges
    CROSS JOIN ff_budget_usage_by_exec AS c INDEXED BY ff_budget_usage_by_exec_period
    WHERE p.has_old_charges = 1
        AND c.budget_id = p.budget_id
        AND c.period < p.period
    LIMIT ?2
)
