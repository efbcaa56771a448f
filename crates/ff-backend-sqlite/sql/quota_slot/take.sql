-- quota_slot_take
-- A lease takes a slot, in place of an earlier lease of the same execution.
-- Uses the primary key.
INSERT OR REPLACE INTO ff_quota_slot (quota_policy_id, partition_key, execution_id, lease_epoch, admitted_at_ms)
VALUES (?1, ?2, ?3, ?4, ?5)
