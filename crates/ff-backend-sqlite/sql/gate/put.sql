-- gate_put
-- When to look at a gate behind which somebody waits.
-- Uses the primary key.
UPDATE ff_gate
SET
    look_at_ms = ?3,
    sweep_at_ms = ?4
WHERE lane_id = ?1
    AND gate = ?2
