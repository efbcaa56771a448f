-- flow_in_uuid_range
-- Flows whose id lies between two, both included.
-- Uses the primary key.
SELECT flow_id
FROM ff_flow_core
WHERE partition_key = 0
    AND flow_id BETWEEN ?1 AND ?2
ORDER BY flow_id
LIMIT ?3
