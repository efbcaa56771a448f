-- flow_standings
-- Whether a flow has members that have not ended, ended badly, run, or wait for something other than a worker.
-- Uses ff_exec_core_flow: five searches, however many members there are.
SELECT
    EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 3 AND 6
    ),
    EXISTS (
        SELECT 1
        FROM ff_exec_core INDEXED BY ff_exec_core_flow
        WHERE partition_key = 0
            AND flow_id = ?1
            AND flow_standing BETWEEN 2 AND 2
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
