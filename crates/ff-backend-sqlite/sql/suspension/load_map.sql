-- suspension_load_map
-- The signals that a tool keeps in the row of a suspension, as an attempt sees them: the contract's column, which the
-- engine leaves empty.
-- Uses the primary key.
SELECT member_map
FROM ff_suspension_current
WHERE partition_key = ?1
    AND execution_id = ?2
    AND coalesce(attempt_index, ?3) = ?3
    AND member_map <> '{}'
