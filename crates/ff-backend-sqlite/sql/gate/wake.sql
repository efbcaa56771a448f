-- gate_wake
-- A gate may have opened: it is looked at at once, on every lane.
-- Uses ff_gate_gate.
UPDATE ff_gate INDEXED BY ff_gate_gate
SET
    look_at_ms = 0,
    sweep_at_ms = 0
WHERE gate = ?1
