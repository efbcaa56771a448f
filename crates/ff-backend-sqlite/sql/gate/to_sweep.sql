-- gate_to_sweep
-- Gates that a sweep is to look at by ?1, at most ?2.
-- Uses ff_gate_sweep as a covering index.
SELECT lane_id, gate
FROM ff_gate INDEXED BY ff_gate_sweep
WHERE sweep_at_ms <= ?1
ORDER BY sweep_at_ms, lane_id, gate
LIMIT ?2
