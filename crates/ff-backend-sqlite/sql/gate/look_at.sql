-- gate_look_at
-- When a gate is looked at.
-- Uses the primary key.
SELECT look_at_ms
FROM ff_gate
WHERE lane_id = ?1
    AND gate = ?2
