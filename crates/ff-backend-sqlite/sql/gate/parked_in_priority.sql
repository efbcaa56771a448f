-- gate_parked_in_priority
-- Executions of a lane that wait behind a gate, with the priority of one of them and behind it in line.
-- Uses ff_exec_core_parked as a covering index.
SELECT partition_key, execution_id, priority, created_at_ms
FROM ff_exec_core INDEXED BY ff_exec_core_parked
WHERE parked_by IS NOT NULL
    AND (eligibility_state = 'blocked_by_budget' OR eligibility_state = 'blocked_by_quota')
    AND parked_by = ?1
    AND lane_id = ?2
    AND priority = ?3
    AND (created_at_ms, execution_id, partition_key) > (?4, ?5, ?6)
ORDER BY created_at_ms, execution_id, partition_key
