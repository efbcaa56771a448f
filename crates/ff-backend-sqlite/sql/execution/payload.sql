-- execution_payload
-- The input of an execution: a short one stands in its row, a long one beside it.
-- Uses the primary keys of ff_exec_core and ff_payload.
SELECT coalesce(
    payload,
    (
        SELECT p.payload FROM ff_payload AS p
        WHERE p.partition_key = e.partition_key AND p.execution_id = e.execution_id
    )
)
FROM ff_exec_core AS e
WHERE partition_key = ?1
    AND execution_id = ?2
