-- transition_list
-- The moves of an execution's state above a version, in order.
-- Uses the primary key.
SELECT version, at_ms, lease_epoch, from_state, to_state, cause
FROM ff_transition
WHERE partition_key = ?1
    AND execution_id = ?2
    AND version > ?3
ORDER BY version
LIMIT ?4
