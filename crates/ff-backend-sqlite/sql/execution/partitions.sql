-- execution_partitions
-- The partitions that hold executions, in order.
-- Uses the primary key: one index step a partition.
SELECT partition_key
FROM ff_partition_in_use
