-- lane_count_parked
-- How many executions of a lane wait behind closed gates, and since when the oldest does.
-- Uses the primary key of ff_gate and ff_exec_core_parked, which covers it; reads every parked entry of the lane.
SELECT count(*), min(e.created_at_ms)
FROM ff_gate AS g
CROSS JOIN ff_exec_core AS e INDEXED BY ff_exec_core_parked
WHERE g.lane_id = ?1
    AND e.parked_by IS NOT NULL
    AND (e.eligibility_state = 'blocked_by_budget' OR e.eligibility_state = 'blocked_by_quota')
    AND e.parked_by = g.gate
    AND e.lane_id = g.lane_id
