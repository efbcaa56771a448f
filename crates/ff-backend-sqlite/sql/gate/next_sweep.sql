-- gate_next_sweep
-- When a sweep is to look at the next gate.
-- Uses the head of ff_gate_sweep.
SELECT sweep_at_ms
FROM ff_gate INDEXED BY ff_gate_sweep
WHERE sweep_at_ms >= 0
ORDER BY sweep_at_ms
LIMIT 1
