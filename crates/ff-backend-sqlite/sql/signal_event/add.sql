-- signal_event_add
-- A fact about a signal.
-- Appends to the table; it has no index.
INSERT INTO ff_signal_event (
    execution_id,
    signal_id,
    waitpoint_id,
    source_identity,
    delivered_at_ms,
    partition_key,
    namespace,
    instance_tag,
    effect
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
