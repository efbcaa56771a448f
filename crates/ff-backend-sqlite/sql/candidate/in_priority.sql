-- candidate_in_priority
-- What a claim may take from one lane, gate key and priority, after a place in line. The caller stops when it has
-- enough.
-- Uses ff_exec_core_claimable, which covers it.
SELECT partition_key, execution_id, priority, created_at_ms
FROM ff_exec_core INDEXED BY ff_exec_core_claimable
WHERE claimable = 1
    AND lane_id = ?1
    AND gate_key = ?2
    AND priority = ?3
    AND (created_at_ms, execution_id, partition_key) > (?4, ?5, ?6)
ORDER BY created_at_ms, execution_id, partition_key
