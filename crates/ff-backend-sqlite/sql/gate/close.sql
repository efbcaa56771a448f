-- gate_close
-- A gate that was found closed, and when to look at it again.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_gate (lane_id, gate, look_at_ms, sweep_at_ms)
VALUES (?1, ?2, ?3, ?3)
