-- stream_meta_forget
-- Removes the stream counters of an execution.
-- Uses the primary key.
DELETE FROM ff_stream_meta
WHERE partition_key = ?1
    AND execution_id = ?2
