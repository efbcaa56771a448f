-- candidate_has_reserved
-- Whether anybody in line on a lane has asked for a reservation.
-- Uses ff_exec_core_reserved, which covers it.
SELECT EXISTS (
    SELECT 1
    FROM ff_exec_core INDEXED BY ff_exec_core_reserved
    WHERE claimable = 1
        AND reserves_slots = 1
        AND lane_id = ?1
)
