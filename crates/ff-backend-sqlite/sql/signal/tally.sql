-- signal_tally
-- How many signals an execution has had, and how many bytes they hold.
-- Uses the primary key.
SELECT seq, bytes_so_far
FROM ff_signal
WHERE partition_key = ?1
    AND execution_id = ?2
ORDER BY seq DESC
LIMIT 1
