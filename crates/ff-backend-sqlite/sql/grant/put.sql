-- grant_put
-- A grant.
-- Uses the primary key; writes ff_claim_grant_execution and ff_claim_grant_expiry.
INSERT OR REPLACE INTO ff_claim_grant (
    partition_key,
    grant_id,
    execution_id,
    kind,
    worker_id,
    worker_instance_id,
    lane_id,
    capability_hash,
    worker_capabilities,
    route_snapshot_json,
    admission_summary,
    grant_ttl_ms,
    issued_at_ms,
    expires_at_ms
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
