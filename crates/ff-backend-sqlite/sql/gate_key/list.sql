-- gate_key_list
-- The distinct gate keys of a lane's claimable executions, in order; the last row may be NULL, for "no more".
-- Uses ff_exec_core_claimable: one search a key, however many executions stand behind it.
WITH RECURSIVE line (gate_key) AS (
    SELECT min(gate_key)
    FROM ff_exec_core INDEXED BY ff_exec_core_claimable
    WHERE claimable = 1
        AND lane_id = ?1
    UNION ALL
    SELECT (
        SELECT min(gate_key)
        FROM ff_exec_core INDEXED BY ff_exec_core_claimable
        WHERE claimable = 1
            AND lane_id = ?1
            AND gate_key > line.gate_key
    )
    FROM line
    WHERE line.gate_key IS NOT NULL
    LIMIT ?2
)
SELECT gate_key
FROM line
