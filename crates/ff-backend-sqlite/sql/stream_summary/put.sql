-- stream_summary_put
-- The summary of a stream.
-- Uses the primary key.
INSERT INTO ff_stream_summary (
    partition_key,
    execution_id,
    attempt_index,
    document_json,
    version,
    patch_kind,
    last_updated_ms,
    first_applied_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, 'json-merge-patch', ?6, ?7)
ON CONFLICT (partition_key, execution_id, attempt_index) DO UPDATE SET
    document_json = excluded.document_json,
    version = excluded.version,
    patch_kind = excluded.patch_kind,
    last_updated_ms = excluded.last_updated_ms,
    first_applied_ms = excluded.first_applied_ms
