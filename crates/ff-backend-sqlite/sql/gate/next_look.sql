-- gate_next_look
-- When the next gate of a lane is to be looked at.
-- Uses the head of ff_gate_look.
SELECT min(look_at_ms)
FROM ff_gate INDEXED BY ff_gate_look
WHERE lane_id = ?1
