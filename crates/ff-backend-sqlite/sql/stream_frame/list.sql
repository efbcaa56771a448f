-- stream_frame_list
-- Frames from the place (?4, ?5) to (?6, ?7), in order, at most ?9; without best-effort ones where ?8 says so.
-- Uses the primary key.
SELECT ts_ms, seq, fields, mode, number, lease_epoch
FROM ff_stream_frame
WHERE partition_key = ?1
    AND execution_id = ?2
    AND attempt_index = ?3
    AND (ts_ms, seq) >= (?4, ?5)
    AND (ts_ms, seq) <= (?6, ?7)
    AND (?8 = 0 OR mode <> 'best_effort')
ORDER BY ts_ms, seq
LIMIT ?9
