-- gate_to_look_at
-- Gates of a lane that are to be looked at by ?2, at most ?3.
-- Uses ff_gate_look as a covering index.
SELECT gate
FROM ff_gate INDEXED BY ff_gate_look
WHERE lane_id = ?1
    AND look_at_ms <= ?2
ORDER BY look_at_ms, gate
LIMIT ?3
