-- stream_frame_forget
-- Removes the frames of all attempts of an execution.
-- Uses the primary key.
DELETE FROM ff_stream_frame
WHERE partition_key = ?1
    AND execution_id = ?2
