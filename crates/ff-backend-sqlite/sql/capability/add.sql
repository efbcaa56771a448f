-- capability_add
-- A capability that an execution needs. It comes before the execution's row, so that its trigger finds nothing to do.
-- Uses the primary key; writes ff_execution_capabilities_capability_idx.
INSERT OR IGNORE INTO ff_execution_capabilities (execution_id, capability)
VALUES (?1, ?2)
