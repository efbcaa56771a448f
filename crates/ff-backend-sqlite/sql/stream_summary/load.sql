-- stream_summary_load
-- The summary of the stream of attempt ?3.
-- Uses the primary key.
SELECT document_json, version, last_updated_ms, first_applied_ms
FROM ff_stream_summary
WHERE partition_key = ?1
    AND execution_id = ?2
    AND attempt_index = ?3
