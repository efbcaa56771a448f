-- What the engine keeps beside the contract's tables: its own tables, the indexes its hot statements name, and the
-- triggers that hold derived columns right for rows that SQL from outside writes.
--
-- Each index costs every write that touches its columns, so there is one per question the engine asks and no other;
-- most are partial. The syntax here stays within what SQLite 3.38 parses: an older sqlite3 shell on the operator's
-- machine reads the whole schema before it runs a statement.

-- Tables ------------------------------------------------------------------------------------------------------------

-- Large inputs live here and not in the execution's row, which every transition rewrites.
CREATE TABLE ff_payload (
    partition_key INTEGER NOT NULL,
    execution_id  BLOB    NOT NULL,
    payload       BLOB    NOT NULL,
    PRIMARY KEY (partition_key, execution_id)
);

CREATE TABLE ff_transition (
    partition_key INTEGER NOT NULL,
    execution_id  BLOB    NOT NULL,
    version       INTEGER NOT NULL,
    at_ms         INTEGER NOT NULL,
    lease_epoch   INTEGER NOT NULL,
    from_state    TEXT,
    to_state      TEXT    NOT NULL,
    cause         TEXT    NOT NULL,
    PRIMARY KEY (partition_key, execution_id, version)
) WITHOUT ROWID;

CREATE TABLE ff_create_dedup (
    namespace       TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    digest          BLOB    NOT NULL,
    partition_key   INTEGER NOT NULL,
    execution_id    BLOB    NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (namespace, idempotency_key)
) WITHOUT ROWID;

-- Engine time never runs backwards: no transaction decides at an instant below the floor.
CREATE TABLE ff_engine_clock (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    floor_ms  INTEGER NOT NULL
);

INSERT INTO ff_engine_clock (singleton, floor_ms) VALUES (1, 0);

CREATE TABLE ff_clock_step (
    at_ms   INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms   INTEGER NOT NULL
);

-- Which lease takes a slot of which quota. A row counts only while the lease of its epoch lives.
CREATE TABLE ff_quota_slot (
    quota_policy_id TEXT    NOT NULL,
    partition_key   INTEGER NOT NULL,
    execution_id    BLOB    NOT NULL,
    lease_epoch     INTEGER NOT NULL,
    admitted_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (quota_policy_id, partition_key, execution_id)
) WITHOUT ROWID;

-- The gates behind which executions of a lane wait, and when each is looked at again: by a claim on the lane, and by
-- a sweep. 9223372036854775807 stands for "when something happens to it".
CREATE TABLE ff_gate (
    lane_id     TEXT    NOT NULL,
    gate        TEXT    NOT NULL,
    look_at_ms  INTEGER NOT NULL,
    sweep_at_ms INTEGER NOT NULL,
    PRIMARY KEY (lane_id, gate)
) WITHOUT ROWID;

-- Spending that a budget refused although it had happened: one row an execution, dimension and period, and one for
-- each report that came with a key.
CREATE TABLE ff_budget_overage (
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
    budget_id      TEXT    NOT NULL,
    period         INTEGER NOT NULL,
    partition_key  INTEGER NOT NULL,
    execution_id   BLOB    NOT NULL,
    dimension      TEXT    NOT NULL,
    report_key     TEXT    NOT NULL,
    amount         INTEGER NOT NULL,
    usage_before   INTEGER NOT NULL,
    hard_limit     INTEGER NOT NULL,
    recorded_at_ms INTEGER NOT NULL
);

-- What the rows of ff_budget_overage come to, by period and dimension. Sums of periods that are over are not kept.
CREATE TABLE ff_budget_overage_sum (
    budget_id TEXT    NOT NULL,
    period    INTEGER NOT NULL,
    dimension TEXT    NOT NULL,
    amount    INTEGER NOT NULL,
    PRIMARY KEY (budget_id, period, dimension)
) WITHOUT ROWID;

CREATE TRIGGER ff_budget_overage_add AFTER INSERT ON ff_budget_overage
BEGIN
    INSERT INTO ff_budget_overage_sum (budget_id, period, dimension, amount)
    VALUES (NEW.budget_id, NEW.period, NEW.dimension, NEW.amount)
    ON CONFLICT (budget_id, period, dimension) DO UPDATE
    SET amount = amount + min(excluded.amount, 9223372036854775807 - amount);
END;

CREATE TRIGGER ff_budget_overage_raise AFTER UPDATE OF amount ON ff_budget_overage
BEGIN
    UPDATE ff_budget_overage_sum
    SET amount = amount - OLD.amount + min(NEW.amount, 9223372036854775807 - (amount - OLD.amount))
    WHERE budget_id = NEW.budget_id AND period = NEW.period AND dimension = NEW.dimension;
END;

CREATE TRIGGER ff_budget_overage_drop AFTER DELETE ON ff_budget_overage
BEGIN
    UPDATE ff_budget_overage_sum
    SET amount = amount - OLD.amount
    WHERE budget_id = OLD.budget_id AND period = OLD.period AND dimension = OLD.dimension;
END;

-- Columns of ours in the contract's tables --------------------------------------------------------------------------

ALTER TABLE ff_lane_registry ADD COLUMN quota_policy_id TEXT;

ALTER TABLE ff_exec_core ADD COLUMN quota_policy_id TEXT;
ALTER TABLE ff_exec_core ADD COLUMN takes_slots INTEGER NOT NULL DEFAULT 0;
-- Set by a reservation, so that the end of an execution that has none looks for none.
ALTER TABLE ff_exec_core ADD COLUMN reserves_slots INTEGER NOT NULL DEFAULT 0;
-- The gate that it waits behind; means something only while it is blocked by a budget or a quota.
ALTER TABLE ff_exec_core ADD COLUMN parked_by TEXT;

-- Raised by one with every reset. Charges and overages of an earlier period count no more.
ALTER TABLE ff_budget_policy ADD COLUMN period INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_budget_usage_by_exec ADD COLUMN period INTEGER NOT NULL DEFAULT 0;
-- Whether charges of earlier periods are there, for retention to remove.
ALTER TABLE ff_budget_policy ADD COLUMN has_old_charges INTEGER NOT NULL DEFAULT 0;
-- The part of current_value that is charged to executions; NULL where SQL from outside wrote the row.
ALTER TABLE ff_budget_usage ADD COLUMN charged_value INTEGER;

-- Executions --------------------------------------------------------------------------------------------------------

-- Serves a claim as a covering search in the order it takes work; holds claimable rows only, so that the cost of a
-- claim does not grow with what waits for time, signals or upstreams. The distinct gate keys of a lane are its heads.
CREATE INDEX ff_exec_core_claimable
    ON ff_exec_core (lane_id, gate_key, priority DESC, created_at_ms, execution_id, partition_key)
    WHERE claimable = 1;

-- Serves a claim on a lane whose quota is full: who has asked for a reservation may pass.
CREATE INDEX ff_exec_core_reserved
    ON ff_exec_core (lane_id, gate_key, priority DESC, created_at_ms, execution_id, partition_key)
    WHERE claimable = 1 AND reserves_slots = 1;

-- Executions due at one instant come in the order of their ids, on every backend.
CREATE INDEX ff_exec_core_due ON ff_exec_core (due_at_ms, partition_key, execution_id)
    WHERE due_at_ms IS NOT NULL;

-- Retention finds an ended execution by the first if it has no flow, and by the second, through its flow, if it has one:
-- an end enters one of them.
CREATE INDEX ff_exec_core_ended ON ff_exec_core (terminal_at_ms, partition_key, execution_id)
    WHERE terminal_at_ms IS NOT NULL AND flow_id IS NULL;

CREATE INDEX ff_exec_core_member_ended ON ff_exec_core (flow_id, terminal_at_ms, partition_key, execution_id)
    WHERE flow_id IS NOT NULL AND terminal_at_ms IS NOT NULL;

-- A query uses it only if it repeats the whole condition beside its own comparison. OR instead of IN: SQLite builds a
-- b-tree for the list each time a row is written.
CREATE INDEX ff_exec_core_unsuccessful
    ON ff_exec_core (public_state, partition_key, execution_id)
    WHERE public_state = 'failed' OR public_state = 'cancelled' OR public_state = 'expired' OR public_state = 'skipped';

-- Where a member stands, as far as its flow cares: 1 completed, 2 ended otherwise, 3 in line, 4 blocked, 5 running, 6 parked by
-- its worker. OR instead of IN, as above.
ALTER TABLE ff_exec_core ADD COLUMN flow_standing INTEGER GENERATED ALWAYS AS (
    CASE lifecycle_phase
        WHEN 'terminal' THEN CASE
            WHEN terminal_outcome = 'success' THEN 1
            WHEN (terminal_outcome IS NULL OR terminal_outcome = 'none') AND public_state = 'completed' THEN 1
            ELSE 2
        END
        WHEN 'cancelled' THEN 2
        WHEN 'suspended' THEN 6
        WHEN 'active' THEN CASE
            WHEN ownership_state = 'lease_expired_reclaimable' OR ownership_state = 'lease_revoked' THEN 3
            ELSE 5
        END
        ELSE CASE
            WHEN attempt_state = 'attempt_interrupted' THEN 6
            WHEN (eligibility_state = 'eligible_now' OR eligibility_state = 'pending_claim')
                AND (ownership_state = 'unowned' OR ownership_state = 'released') THEN 3
            ELSE 4
        END
    END
) VIRTUAL;

CREATE INDEX ff_exec_core_flow ON ff_exec_core (partition_key, flow_id, flow_standing, execution_id)
    WHERE flow_id IS NOT NULL;

CREATE INDEX ff_attempt_lease_expiry ON ff_attempt (lease_expires_at_ms, partition_key, execution_id)
    WHERE lease_expires_at_ms IS NOT NULL;

CREATE INDEX ff_attempt_lease_expired ON ff_attempt (lease_expired_at_ms) WHERE lease_expired_at_ms IS NOT NULL;

CREATE INDEX ff_create_dedup_expiry ON ff_create_dedup (expires_at_ms);

-- Flows -------------------------------------------------------------------------------------------------------------

ALTER TABLE ff_flow_core ADD COLUMN version INTEGER NOT NULL DEFAULT 0;

-- Over the graph that one call submitted.
ALTER TABLE ff_flow_core ADD COLUMN digest BLOB;

CREATE INDEX ff_flow_core_ended ON ff_flow_core (terminal_at_ms) WHERE terminal_at_ms IS NOT NULL;

-- While a flow has ended and has members: no member that is there ended before this. Retention looks at the members of
-- these flows alone, so that what waits in open flows costs it nothing.
ALTER TABLE ff_flow_core ADD COLUMN oldest_end_ms INTEGER;

CREATE INDEX ff_flow_core_oldest_end ON ff_flow_core (oldest_end_ms) WHERE oldest_end_ms IS NOT NULL;

-- A tool may add the members behind their flow.
CREATE TRIGGER ff_flow_core_add_ended AFTER INSERT ON ff_flow_core
WHEN NEW.terminal_at_ms IS NOT NULL
BEGIN
    UPDATE ff_flow_core
    SET oldest_end_ms = min(NEW.terminal_at_ms, coalesce(
            (SELECT min(terminal_at_ms) FROM ff_exec_core WHERE flow_id = NEW.flow_id AND terminal_at_ms IS NOT NULL),
            NEW.terminal_at_ms
        ))
    WHERE partition_key = NEW.partition_key AND flow_id = NEW.flow_id;
END;

-- Members of a cancelled flow that go on end after it.
CREATE TRIGGER ff_flow_core_end AFTER UPDATE OF terminal_at_ms ON ff_flow_core
WHEN NEW.terminal_at_ms IS NOT OLD.terminal_at_ms
BEGIN
    UPDATE ff_flow_core
    SET oldest_end_ms = CASE
            WHEN EXISTS (
                SELECT 1 FROM ff_exec_core WHERE partition_key = NEW.partition_key AND flow_id = NEW.flow_id
            )
            THEN min(NEW.terminal_at_ms, coalesce(
                (SELECT min(terminal_at_ms) FROM ff_exec_core WHERE flow_id = NEW.flow_id AND terminal_at_ms IS NOT NULL),
                NEW.terminal_at_ms
            ))
        END
    WHERE partition_key = NEW.partition_key AND flow_id = NEW.flow_id;
END;

CREATE TRIGGER ff_exec_core_leave_flow AFTER DELETE ON ff_exec_core
WHEN OLD.flow_id IS NOT NULL
BEGIN
    UPDATE ff_flow_core
    SET oldest_end_ms = CASE
            WHEN EXISTS (
                SELECT 1 FROM ff_exec_core WHERE partition_key = OLD.partition_key AND flow_id = OLD.flow_id
            )
            THEN coalesce(
                (SELECT min(terminal_at_ms) FROM ff_exec_core WHERE flow_id = OLD.flow_id AND terminal_at_ms IS NOT NULL),
                terminal_at_ms
            )
        END
    WHERE partition_key = OLD.partition_key AND flow_id = OLD.flow_id AND oldest_end_ms IS NOT NULL;
END;

-- How the upstream ended, in which run, and when the edge was settled by it: once.
ALTER TABLE ff_edge ADD COLUMN resolved_outcome TEXT;

ALTER TABLE ff_edge ADD COLUMN resolved_run INTEGER;

ALTER TABLE ff_edge ADD COLUMN resolved_at_ms INTEGER;

-- It counts and is not settled. Tools write no state of an edge but what kind of dependency it is.
ALTER TABLE ff_edge ADD COLUMN is_open INTEGER GENERATED ALWAYS AS (
    CASE
        WHEN resolved_outcome IS NOT NULL THEN 0
        WHEN NOT json_valid(policy) THEN 0
        ELSE coalesce(
            json_extract(policy, '$.edge_state') = 'applied',
            json_extract(policy, '$.kind') = 'required' OR json_extract(policy, '$.kind') = 'AllOf'
            OR json_extract(policy, '$.kind') = 'all_of',
            0
        )
    END
) VIRTUAL;

CREATE INDEX ff_edge_downstream ON ff_edge (partition_key, flow_id, downstream_eid, edge_id);

CREATE INDEX ff_edge_upstream ON ff_edge (partition_key, flow_id, upstream_eid, edge_id);

CREATE INDEX ff_edge_open ON ff_edge (partition_key, flow_id, upstream_eid, edge_id) WHERE is_open = 1;

CREATE INDEX ff_pending_cancel_groups_queue ON ff_pending_cancel_groups (enqueued_at_ms, flow_id, downstream_eid);

-- Every member that the cancel reaches has ended; what is left of the entry waits to be acknowledged.
ALTER TABLE ff_cancel_backlog ADD COLUMN members_ended INTEGER NOT NULL DEFAULT 0;

CREATE INDEX ff_cancel_backlog_open ON ff_cancel_backlog (requested_at_ms, flow_id) WHERE members_ended = 0;

-- The announcements whose downstream edges nobody has resolved yet. An execution outside a flow never enters.
CREATE INDEX ff_completion_event_unresolved ON ff_completion_event (event_id)
    WHERE dispatched_at_ms IS NULL AND flow_id IS NOT NULL;

CREATE INDEX ff_cancel_backlog_grace ON ff_cancel_backlog (grace_until_ms) WHERE grace_until_ms IS NOT NULL;

-- Streams -----------------------------------------------------------------------------------------------------------

-- A frame's place counted from 1 over the stream's whole life, and the lease it was appended under. Frames written from
-- outside have no lease; a trigger numbers and counts them.
ALTER TABLE ff_stream_frame ADD COLUMN number INTEGER;
ALTER TABLE ff_stream_frame ADD COLUMN lease_epoch INTEGER;

-- The next id, the totals and what is there of each mode stand in one row, so that an append looks at no frame.
ALTER TABLE ff_stream_meta ADD COLUMN last_ts_ms INTEGER;
ALTER TABLE ff_stream_meta ADD COLUMN last_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_stream_meta ADD COLUMN frame_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_stream_meta ADD COLUMN total_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_stream_meta ADD COLUMN durable_kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_stream_meta ADD COLUMN summary_kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_stream_meta ADD COLUMN best_effort_kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_stream_meta ADD COLUMN expires_at_ms INTEGER;

-- Finds the oldest frames of the two modes that are trimmed past durable ones. Durable frames are found by the primary
-- key, behind at most as many others as the two modes keep, and pay for no second index.
CREATE INDEX ff_stream_frame_transient
    ON ff_stream_frame (partition_key, execution_id, attempt_index, mode, ts_ms, seq)
    WHERE mode <> 'durable';

CREATE INDEX ff_stream_meta_expiry
    ON ff_stream_meta (expires_at_ms, partition_key, execution_id, attempt_index)
    WHERE expires_at_ms IS NOT NULL;

-- When retention looks at a stream whose policy says how long frames stay after the end of their attempt.
ALTER TABLE ff_stream_meta ADD COLUMN look_at_ms INTEGER;

CREATE INDEX ff_stream_meta_look
    ON ff_stream_meta (look_at_ms, partition_key, execution_id, attempt_index)
    WHERE look_at_ms IS NOT NULL;

CREATE TRIGGER ff_stream_frame_count AFTER INSERT ON ff_stream_frame
WHEN NEW.number IS NULL
BEGIN
    INSERT INTO ff_stream_meta (
        partition_key, execution_id, attempt_index, last_ts_ms, last_seq, frame_count, total_bytes,
        durable_kept, summary_kept, best_effort_kept
    )
    VALUES (
        NEW.partition_key, NEW.execution_id, NEW.attempt_index, NEW.ts_ms, NEW.seq, 1,
        CASE
            WHEN json_valid(NEW.fields)
                THEN coalesce(length(CAST(json_extract(NEW.fields, '$.payload') AS BLOB)), 0)
            ELSE 0
        END,
        NEW.mode = 'durable', NEW.mode = 'summary', NEW.mode = 'best_effort'
    )
    ON CONFLICT (partition_key, execution_id, attempt_index) DO UPDATE SET
        last_seq = CASE
            WHEN last_ts_ms IS NULL OR excluded.last_ts_ms > last_ts_ms THEN excluded.last_seq
            WHEN excluded.last_ts_ms = last_ts_ms THEN max(excluded.last_seq, last_seq)
            ELSE last_seq
        END,
        last_ts_ms = max(excluded.last_ts_ms, coalesce(last_ts_ms, excluded.last_ts_ms)),
        frame_count = frame_count + 1,
        total_bytes = total_bytes + excluded.total_bytes,
        durable_kept = durable_kept + excluded.durable_kept,
        summary_kept = summary_kept + excluded.summary_kept,
        best_effort_kept = best_effort_kept + excluded.best_effort_kept,
        expires_at_ms = CASE WHEN NEW.mode = 'best_effort' THEN expires_at_ms END;
    UPDATE ff_stream_frame
    SET number = (
        SELECT frame_count
        FROM ff_stream_meta
        WHERE partition_key = NEW.partition_key
            AND execution_id = NEW.execution_id
            AND attempt_index = NEW.attempt_index
    )
    WHERE rowid = NEW.rowid;
END;

-- Suspension --------------------------------------------------------------------------------------------------------

-- The end of a key that was rotated out; an active one has none.
ALTER TABLE ff_waitpoint_hmac ADD COLUMN expires_at_ms INTEGER;

-- The contract's row of a suspension stays after its end. satisfied_set holds what each leaf of the condition has
-- counted; member_map is for tools, signals are rows.
ALTER TABLE ff_suspension_current ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ff_suspension_current ADD COLUMN attempt_index INTEGER;
ALTER TABLE ff_suspension_current ADD COLUMN requested_by TEXT;
ALTER TABLE ff_suspension_current ADD COLUMN resume_delay_ms INTEGER;
ALTER TABLE ff_suspension_current ADD COLUMN continuation TEXT;
ALTER TABLE ff_suspension_current ADD COLUMN closed_at_ms INTEGER;
ALTER TABLE ff_suspension_current ADD COLUMN close_reason TEXT;

ALTER TABLE ff_waitpoint_pending ADD COLUMN attempt_index INTEGER;
ALTER TABLE ff_waitpoint_pending ADD COLUMN suspension_id BLOB;

ALTER TABLE ff_suspend_dedup ADD COLUMN expires_at_ms INTEGER;

ALTER TABLE ff_signal_event ADD COLUMN effect TEXT;

-- A waitpoint that has ended, once: its key sees to that. Its token is not kept.
CREATE TABLE ff_waitpoint_closed (
    partition_key         INTEGER NOT NULL,
    waitpoint_id          BLOB    NOT NULL,
    execution_id          BLOB    NOT NULL,
    attempt_index         INTEGER,
    suspension_id         BLOB,
    waitpoint_key         TEXT    NOT NULL,
    token_kid             TEXT    NOT NULL,
    created_at_ms         INTEGER NOT NULL,
    activated_at_ms       INTEGER,
    expires_at_ms         INTEGER,
    required_signal_names TEXT    NOT NULL,
    closed_at_ms          INTEGER NOT NULL,
    close_reason          TEXT    NOT NULL,
    PRIMARY KEY (partition_key, waitpoint_id)
) WITHOUT ROWID;

CREATE INDEX ff_waitpoint_closed_execution ON ff_waitpoint_closed (partition_key, execution_id);

CREATE INDEX ff_waitpoint_closed_at ON ff_waitpoint_closed (closed_at_ms);

-- bytes_so_far is the sum over an execution's signals up to this one.
CREATE TABLE ff_signal (
    partition_key    INTEGER NOT NULL,
    execution_id     BLOB    NOT NULL,
    seq              INTEGER NOT NULL,
    bytes_so_far     INTEGER NOT NULL,
    signal_id        BLOB    NOT NULL,
    waitpoint_id     BLOB,
    waitpoint_key    TEXT    NOT NULL,
    suspension_id    BLOB,
    signal_name      TEXT    NOT NULL,
    signal_category  TEXT    NOT NULL,
    source_type      TEXT    NOT NULL,
    source_identity  TEXT    NOT NULL,
    correlation_id   TEXT    NOT NULL,
    payload          BLOB,
    payload_encoding TEXT,
    accepted_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (partition_key, execution_id, seq)
);

-- The same signal at the same waitpoint is stored once.
CREATE UNIQUE INDEX ff_signal_delivery ON ff_signal (partition_key, waitpoint_id, signal_id)
    WHERE waitpoint_id IS NOT NULL;

CREATE INDEX ff_signal_suspension ON ff_signal (partition_key, execution_id, suspension_id, waitpoint_key, seq);

CREATE TABLE ff_signal_dedup (
    partition_key   INTEGER NOT NULL,
    waitpoint_id    BLOB    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    execution_id    BLOB    NOT NULL,
    signal_id       BLOB    NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (partition_key, waitpoint_id, idempotency_key)
) WITHOUT ROWID;

CREATE INDEX ff_signal_dedup_expiry ON ff_signal_dedup (expires_at_ms);

CREATE INDEX ff_signal_dedup_execution ON ff_signal_dedup (partition_key, execution_id);

-- The distinct things that the leaves of an execution's open condition have counted.
CREATE TABLE ff_signal_counted (
    partition_key INTEGER NOT NULL,
    execution_id  BLOB    NOT NULL,
    thing         TEXT    NOT NULL,
    leaf          INTEGER NOT NULL,
    PRIMARY KEY (partition_key, execution_id, thing, leaf)
) WITHOUT ROWID;

-- Whose signals an attempt sees; it outlives the suspension's row.
CREATE TABLE ff_observed_suspension (
    partition_key INTEGER NOT NULL,
    execution_id  BLOB    NOT NULL,
    suspension_id BLOB    NOT NULL,
    attempt_index INTEGER NOT NULL,
    PRIMARY KEY (partition_key, execution_id)
) WITHOUT ROWID;

CREATE INDEX ff_suspension_current_timeout
    ON ff_suspension_current (timeout_at_ms, partition_key, execution_id)
    WHERE timeout_at_ms IS NOT NULL AND closed_at_ms IS NULL;

CREATE INDEX ff_suspension_current_open ON ff_suspension_current (partition_key, execution_id)
    WHERE closed_at_ms IS NULL;

CREATE INDEX ff_waitpoint_pending_execution ON ff_waitpoint_pending (partition_key, execution_id, waitpoint_id);

CREATE INDEX ff_waitpoint_pending_expiry ON ff_waitpoint_pending (expires_at_ms, partition_key, execution_id)
    WHERE state = 'pending' AND expires_at_ms IS NOT NULL;

-- A row that a tool wrote without its end is kept for seven days.
CREATE INDEX ff_suspend_dedup_expiry ON ff_suspend_dedup (coalesce(expires_at_ms, created_at_ms + 604800000));

-- Budgets, quotas, grants -------------------------------------------------------------------------------------------

CREATE INDEX ff_budget_policy_reset ON ff_budget_policy (next_reset_at_ms) WHERE next_reset_at_ms IS NOT NULL;

CREATE INDEX ff_budget_policy_old_charges ON ff_budget_policy (budget_id) WHERE has_old_charges = 1;

CREATE INDEX ff_budget_usage_by_exec_period ON ff_budget_usage_by_exec (budget_id, period);

CREATE TRIGGER ff_budget_policy_period AFTER UPDATE OF period ON ff_budget_policy
WHEN NEW.period <> OLD.period
BEGIN
    DELETE FROM ff_budget_overage_sum WHERE budget_id = NEW.budget_id AND period < NEW.period;
    UPDATE ff_budget_policy
    SET has_old_charges = 1
    WHERE partition_key = NEW.partition_key AND budget_id = NEW.budget_id;
END;

CREATE INDEX ff_budget_usage_dedup_expiry ON ff_budget_usage_dedup (expires_at_ms);

CREATE INDEX ff_quota_admitted_expiry ON ff_quota_admitted (expires_at_ms);

CREATE INDEX ff_quota_admitted_execution ON ff_quota_admitted (execution_id);

CREATE INDEX ff_quota_window_order ON ff_quota_window (quota_policy_id, admitted_at_ms);

CREATE INDEX ff_quota_window_age ON ff_quota_window (admitted_at_ms);

CREATE INDEX ff_quota_slot_execution ON ff_quota_slot (partition_key, execution_id);

CREATE INDEX ff_gate_look ON ff_gate (lane_id, look_at_ms, gate);

CREATE INDEX ff_gate_sweep ON ff_gate (sweep_at_ms, lane_id, gate);

CREATE INDEX ff_gate_gate ON ff_gate (gate);

CREATE INDEX ff_budget_overage_report ON ff_budget_overage (budget_id, report_key, period, execution_id, dimension);

CREATE INDEX ff_budget_overage_sequence ON ff_budget_overage (budget_id, sequence);

CREATE INDEX ff_lane_registry_quota ON ff_lane_registry (quota_policy_id, lane_id) WHERE quota_policy_id IS NOT NULL;

-- An execution enters when it is parked; parked_by comes first in the condition, so that others cost nothing.
CREATE INDEX ff_exec_core_parked
    ON ff_exec_core (parked_by, lane_id, priority DESC, created_at_ms, execution_id, partition_key)
    WHERE parked_by IS NOT NULL
        AND (eligibility_state = 'blocked_by_budget' OR eligibility_state = 'blocked_by_quota');

CREATE INDEX ff_claim_grant_execution ON ff_claim_grant (partition_key, execution_id);

CREATE INDEX ff_claim_grant_expiry ON ff_claim_grant (expires_at_ms);

-- Workers -----------------------------------------------------------------------------------------------------------

CREATE INDEX ff_worker_registry_expiry
    ON ff_worker_registry (last_heartbeat_ms + liveness_ttl_ms, namespace, worker_instance_id);

CREATE INDEX ff_worker_registry_event_age ON ff_worker_registry_event (event_kind, event_at_ms);

-- What a worker announced stays known after it is gone.
ALTER TABLE ff_worker_registry_event ADD COLUMN lanes TEXT;
ALTER TABLE ff_worker_registry_event ADD COLUMN capabilities_csv TEXT;

CREATE INDEX ff_worker_registry_event_announced
    ON ff_worker_registry_event (namespace, event_at_ms DESC, worker_instance_id DESC)
    WHERE event_kind = 'registered';

-- Gate key ----------------------------------------------------------------------------------------------------------
-- gate_key is the BINARY-sorted, comma-joined list of the capabilities an execution needs, '' when it needs none.
-- The engine inserts the capabilities first and then the execution with its key, so none of these triggers writes for
-- it; it likewise removes an execution before its capabilities. A statement from outside may come in any order and
-- never names the column. An unchanged key is not written again.

-- Capabilities are keyed by execution alone, executions by partition first: the partitions in use are hopped through,
-- one index step each, so that a capability costs a few searches and not a scan.
CREATE VIEW ff_partition_in_use (partition_key) AS
WITH RECURSIVE hop (k) AS (
    SELECT min(partition_key) FROM ff_exec_core
    UNION ALL
    SELECT (SELECT min(partition_key) FROM ff_exec_core WHERE partition_key > k) FROM hop WHERE k IS NOT NULL
)
SELECT k FROM hop WHERE k IS NOT NULL;

CREATE TRIGGER ff_exec_core_gate_key AFTER INSERT ON ff_exec_core
WHEN NEW.gate_key IS NULL
BEGIN
    UPDATE ff_exec_core
    SET gate_key = coalesce((
        SELECT group_concat(capability, ',')
        FROM (SELECT capability FROM ff_execution_capabilities WHERE execution_id = NEW.execution_id ORDER BY capability)
    ), '')
    WHERE partition_key = NEW.partition_key AND execution_id = NEW.execution_id;
END;

CREATE TRIGGER ff_execution_capabilities_insert AFTER INSERT ON ff_execution_capabilities
BEGIN
    UPDATE ff_exec_core
    SET gate_key = key.value
    FROM (
        SELECT coalesce(group_concat(capability, ','), '') AS value
        FROM (SELECT capability FROM ff_execution_capabilities WHERE execution_id = NEW.execution_id ORDER BY capability)
    ) AS key
    WHERE partition_key IN (SELECT partition_key FROM ff_partition_in_use)
        AND execution_id = NEW.execution_id
        AND gate_key IS NOT key.value;
END;

CREATE TRIGGER ff_execution_capabilities_delete AFTER DELETE ON ff_execution_capabilities
BEGIN
    UPDATE ff_exec_core
    SET gate_key = key.value
    FROM (
        SELECT coalesce(group_concat(capability, ','), '') AS value
        FROM (SELECT capability FROM ff_execution_capabilities WHERE execution_id = OLD.execution_id ORDER BY capability)
    ) AS key
    WHERE partition_key IN (SELECT partition_key FROM ff_partition_in_use)
        AND execution_id = OLD.execution_id
        AND gate_key IS NOT key.value;
END;

CREATE TRIGGER ff_execution_capabilities_update AFTER UPDATE ON ff_execution_capabilities
BEGIN
    UPDATE ff_exec_core
    SET gate_key = key.value
    FROM (
        SELECT coalesce(group_concat(capability, ','), '') AS value
        FROM (SELECT capability FROM ff_execution_capabilities WHERE execution_id = OLD.execution_id ORDER BY capability)
    ) AS key
    WHERE partition_key IN (SELECT partition_key FROM ff_partition_in_use)
        AND execution_id = OLD.execution_id
        AND gate_key IS NOT key.value;
    UPDATE ff_exec_core
    SET gate_key = key.value
    FROM (
        SELECT coalesce(group_concat(capability, ','), '') AS value
        FROM (SELECT capability FROM ff_execution_capabilities WHERE execution_id = NEW.execution_id ORDER BY capability)
    ) AS key
    WHERE partition_key IN (SELECT partition_key FROM ff_partition_in_use)
        AND execution_id = NEW.execution_id
        AND gate_key IS NOT key.value;
END;
