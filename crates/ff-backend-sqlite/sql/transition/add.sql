-- transition_add
-- A move of an execution's state. It replaces what an execution of the same id left, removed by SQL from outside.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_transition (
    partition_key,
    execution_id,
    version,
    at_ms,
    lease_epoch,
    from_state,
    to_state,
    cause
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
