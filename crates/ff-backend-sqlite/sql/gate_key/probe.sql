-- gate_key_probe
-- Whether something claimable waits on a lane behind a gate key.
-- Uses ff_exec_core_claimable, which covers it.
SELECT EXISTS (
    SELECT 1
    FROM ff_exec_core INDEXED BY ff_exec_core_claimable
    WHERE claimable = 1
        AND lane_id = ?1
        AND gate_key = ?2
)
