-- candidate_reserved
-- What a claim may take from one lane and gate key that has asked for a reservation, in line, after a place. The caller
-- stops when it has enough.
-- Uses ff_exec_core_reserved, which covers it; reads what stands before the place at its priority.
SELECT partition_key, execution_id, priority, created_at_ms
FROM ff_exec_core INDEXED BY ff_exec_core_reserved
WHERE claimable = 1
    AND reserves_slots = 1
    AND lane_id = ?1
    AND gate_key = ?2
    AND priority <= ?3
    AND (priority < ?3 OR (created_at_ms, execution_id, partition_key) > (?4, ?5, ?6))
ORDER BY priority DESC, created_at_ms, execution_id, partition_key
