-- stream_summary_forget
-- Removes the stream summaries of an execution.
-- Uses the primary key.
DELETE FROM ff_stream_summary
WHERE partition_key = ?1
    AND execution_id = ?2
