-- lane_count_claimable
-- How many executions of a lane are in line, and since when the oldest is there.
-- Uses ff_exec_core_claimable, which covers it; reads every entry of the lane.
SELECT count(*), min(created_at_ms)
FROM ff_exec_core INDEXED BY ff_exec_core_claimable
WHERE claimable = 1
    AND lane_id = ?1
