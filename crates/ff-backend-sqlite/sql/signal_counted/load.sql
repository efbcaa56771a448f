-- signal_counted_load
-- Which leaves have counted a signal, or its source.
-- Uses the primary key.
SELECT leaf, thing
FROM ff_signal_counted
WHERE partition_key = ?1
    AND execution_id = ?2
    AND (thing = ?3 OR thing = ?4)
