-- quota_window_add
-- An entry in a window. A lease's entry names its epoch in the place of a dimension: two leases of one execution in
-- one millisecond are two entries.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_quota_window (partition_key, quota_policy_id, dimension, admitted_at_ms, execution_id)
VALUES (0, ?1, ?2, ?3, ?4)
