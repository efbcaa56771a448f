-- waitpoint_exists
-- Whether an execution has a waitpoint that has not ended.
-- Uses ff_waitpoint_pending_execution.
SELECT EXISTS (
    SELECT 1
    FROM ff_waitpoint_pending INDEXED BY ff_waitpoint_pending_execution
    WHERE partition_key = ?1
        AND execution_id = ?2
        AND state <> 'closed'
)
