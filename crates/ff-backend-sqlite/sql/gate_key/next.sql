-- gate_key_next
-- The gate key after ?2 among a lane's claimable executions.
-- Uses ff_exec_core_claimable, which covers it: one search, however many executions stand behind each key.
SELECT gate_key
FROM ff_exec_core INDEXED BY ff_exec_core_claimable
WHERE claimable = 1
    AND lane_id = ?1
    AND gate_key > ?2
ORDER BY gate_key
LIMIT 1
