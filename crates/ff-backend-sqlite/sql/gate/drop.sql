-- gate_drop
-- Nobody waits behind a gate any more.
-- Uses the primary key.
DELETE FROM ff_gate
WHERE lane_id = ?1
    AND gate = ?2
