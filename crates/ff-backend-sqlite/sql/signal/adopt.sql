-- signal_adopt
-- The signals buffered at a waitpoint become a suspension's.
-- Uses ff_signal_suspension.
UPDATE ff_signal INDEXED BY ff_signal_suspension
SET suspension_id = ?4
WHERE partition_key = ?1
    AND execution_id = ?2
    AND suspension_id IS NULL
    AND waitpoint_id = ?3
