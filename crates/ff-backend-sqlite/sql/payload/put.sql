-- payload_put
-- A long input, beside the row that every transition rewrites.
-- Uses the primary key of ff_payload.
INSERT OR REPLACE INTO ff_payload (partition_key, execution_id, payload)
VALUES (?1, ?2, ?3)
