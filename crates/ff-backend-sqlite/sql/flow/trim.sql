-- flow_trim
-- Removes flows that ended at or before ?1 and have no members any more, at most ?2.
-- Uses ff_flow_core_ended and ff_exec_core_flow.
DELETE FROM ff_flow_core
WHERE rowid IN (
    SELECT f.rowid
    FROM ff_flow_core AS f INDEXED BY ff_flow_core_ended
    WHERE f.terminal_at_ms <= ?1
        AND NOT EXISTS (
            SELECT 1
            FROM ff_exec_core AS e INDEXED BY ff_exec_core_flow
            WHERE e.partition_key = 0
                AND e.flow_id = f.flow_id
        )
    ORDER BY f.terminal_at_ms
    LIMIT ?2
)
