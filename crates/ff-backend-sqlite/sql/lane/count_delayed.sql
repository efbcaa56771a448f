-- lane_count_delayed
-- How many executions of a lane wait for an instant.
-- Uses ff_exec_core_due; reads every row that time alone will change.
SELECT count(*)
FROM ff_exec_core INDEXED BY ff_exec_core_due
WHERE due_at_ms IS NOT NULL
    AND lane_id = ?1
    AND eligibility_state = 'not_eligible_until_time'
    AND lifecycle_phase IN ('runnable', 'submitted', 'pending', 'eligible', 'blocked')
