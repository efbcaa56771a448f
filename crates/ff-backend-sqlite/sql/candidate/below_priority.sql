-- candidate_below_priority
-- What a claim may take from one lane and gate key, in line, below a priority. The caller stops when it has enough.
-- Uses ff_exec_core_claimable, which covers it.
SELECT partition_key, execution_id, priority, created_at_ms
FROM ff_exec_core INDEXED BY ff_exec_core_claimable
WHERE claimable = 1
    AND lane_id = ?1
    AND gate_key = ?2
    AND priority < ?3
ORDER BY priority DESC, created_at_ms, execution_id, partition_key
