-- waitpoint_drop
-- Takes a waitpoint from those that have not ended.
-- Uses the primary key.
DELETE FROM ff_waitpoint_pending
WHERE partition_key = ?1
    AND waitpoint_id = ?2
