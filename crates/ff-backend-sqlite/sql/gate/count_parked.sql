-- gate_count_parked
-- How many wait behind a gate, on whatever lane.
-- Uses ff_exec_core_parked as a covering index; reads each of them.
SELECT count(*)
FROM ff_exec_core INDEXED BY ff_exec_core_parked
WHERE parked_by IS NOT NULL
    AND (eligibility_state = 'blocked_by_budget' OR eligibility_state = 'blocked_by_quota')
    AND parked_by = ?1
