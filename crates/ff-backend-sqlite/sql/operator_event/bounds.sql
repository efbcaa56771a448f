-- operator_event_bounds
-- The oldest event still there, and the newest id ever given out.
-- Uses the primary key, and the few rows of sqlite_sequence.
SELECT
    (SELECT min(event_id) FROM ff_operator_event),
    (SELECT max(event_id) FROM ff_operator_event),
    (SELECT seq FROM sqlite_sequence WHERE name = 'ff_operator_event')
