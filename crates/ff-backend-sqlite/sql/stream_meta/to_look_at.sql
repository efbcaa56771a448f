-- stream_meta_to_look_at
-- Streams that retention is to look at by ?1, at most ?2, oldest first.
-- Uses ff_stream_meta_look as a covering index.
SELECT partition_key, execution_id, attempt_index
FROM ff_stream_meta INDEXED BY ff_stream_meta_look
WHERE look_at_ms IS NOT NULL
    AND look_at_ms <= ?1
ORDER BY look_at_ms, partition_key, execution_id, attempt_index
LIMIT ?2
