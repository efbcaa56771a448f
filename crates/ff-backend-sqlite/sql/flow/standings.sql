-- flow_standings
-- Whether a flow has members that have not ended; once all have, whether one that nothing else needs did not complete;
-- and whether members run, or wait for something other than a worker.
-- Uses ff_exec_core_flow: five searches, however many members there are, and once, at the end of the flow, one of
-- ff_edge_upstream for each member that did not complete.
SELECT
    EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 3 AND 6
    ),
    NOT EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 3 AND 6
    )
    AND EXISTS (
        SELECT 1
        FROM ff_exec_core AS m INDEXED BY ff_exec_core_flow
        WHERE m.partition_key = 0
            AND m.flow_id = ?1
            AND m.flow_standing BETWEEN 2 AND 2
            AND NOT EXISTS (
                SELECT 1
                FROM ff_edge AS e INDEXED BY ff_edge_upstream
                WHERE e.partition_key = 0
                    AND e.flow_id = ?1
                    AND e.upstream_eid = m.execution_id
            )
    ),
    EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 5 AND 5
    ),
    EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 4 AND 4
    )
    OR EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 6 AND 6
    )
