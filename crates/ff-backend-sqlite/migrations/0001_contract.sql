-- The tables of the 0.15 contract, under the names, types and keys that SQL from outside reads and writes.
--
-- Columns of ours stand in the same CREATE TABLE, marked "ours"; each is nullable or has a default, so that an INSERT
-- naming only the contract's columns makes a full row. Within a row, what every command reads comes first and what
-- few read (JSON, result, payload) comes last: SQLite decodes a record from its front.
-- No foreign keys and no checks on states: rows from outside may name an execution that does not exist.

-- Global ------------------------------------------------------------------------------------------------------------

CREATE TABLE ff_waitpoint_hmac (
    kid           TEXT    NOT NULL PRIMARY KEY,
    secret        BLOB    NOT NULL,
    rotated_at_ms INTEGER NOT NULL,
    active        INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE ff_lane_registry (
    lane_id          TEXT    NOT NULL PRIMARY KEY,
    registered_at_ms INTEGER NOT NULL,
    registered_by    TEXT    NOT NULL,
    state            TEXT    NOT NULL DEFAULT 'active' -- ours
);

CREATE TABLE ff_partition_config (
    singleton_lock        INTEGER NOT NULL DEFAULT 1 PRIMARY KEY CHECK (singleton_lock = 1),
    num_flow_partitions   INTEGER NOT NULL,
    num_budget_partitions INTEGER NOT NULL,
    num_quota_partitions  INTEGER NOT NULL,
    ff_version            TEXT    NOT NULL
);

CREATE TABLE ff_migration_annotation (
    version             INTEGER NOT NULL PRIMARY KEY,
    name                TEXT    NOT NULL,
    applied_at_ms       INTEGER NOT NULL,
    backward_compatible INTEGER NOT NULL
);

-- The shape sqlx gives its own ledger.
CREATE TABLE _sqlx_migrations (
    version        BIGINT    PRIMARY KEY,
    description    TEXT      NOT NULL,
    installed_on   TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success        BOOLEAN   NOT NULL,
    checksum       BLOB      NOT NULL,
    execution_time BIGINT    NOT NULL
);

-- Executions --------------------------------------------------------------------------------------------------------

CREATE TABLE ff_exec_core (
    partition_key           INTEGER NOT NULL,
    execution_id            BLOB    NOT NULL,
    lane_id                 TEXT    NOT NULL,
    lifecycle_phase         TEXT    NOT NULL,
    ownership_state         TEXT    NOT NULL,
    eligibility_state       TEXT    NOT NULL,
    public_state            TEXT    NOT NULL,
    attempt_state           TEXT    NOT NULL,
    priority                INTEGER NOT NULL DEFAULT 0,
    created_at_ms           INTEGER NOT NULL,
    attempt_index           INTEGER NOT NULL DEFAULT 0,
    version                 INTEGER NOT NULL DEFAULT 0, -- ours
    lease_epoch             INTEGER NOT NULL DEFAULT 0, -- ours: a floor; the epoch is max(this, the attempts')
    attempt_count           INTEGER NOT NULL DEFAULT 0, -- ours
    lease_reclaim_count     INTEGER NOT NULL DEFAULT 0,
    gate_key                TEXT,                       -- ours: the capabilities needed, sorted, comma-joined
    eligible_at_ms          INTEGER,                    -- ours
    deadline_at_ms          INTEGER,
    attempt_timeout_at_ms   INTEGER,                    -- ours
    attempt_timeout_left_ms INTEGER,                    -- ours
    started_at_ms           INTEGER,
    terminal_at_ms          INTEGER,
    terminal_outcome        TEXT,                       -- ours
    flow_id                 BLOB,
    blocking_reason         TEXT,
    cancellation_reason     TEXT,
    cancelled_by            TEXT,
    raw_fields              TEXT    NOT NULL DEFAULT '{}',
    policy                  TEXT,
    result                  BLOB,
    payload                 BLOB,
    -- Ours. A claim may propose the row: it waits unowned, or its lease was lost. OR instead of IN: SQLite builds a
    -- b-tree for each list each time a row is written.
    claimable INTEGER GENERATED ALWAYS AS (
        CASE lifecycle_phase
            WHEN 'terminal' THEN 0
            WHEN 'active' THEN ownership_state = 'lease_expired_reclaimable' OR ownership_state = 'lease_revoked'
            ELSE (eligibility_state = 'eligible_now' OR eligibility_state = 'pending_claim')
                AND (ownership_state = 'unowned' OR ownership_state = 'released')
                AND (
                    lifecycle_phase = 'runnable' OR lifecycle_phase = 'submitted' OR lifecycle_phase = 'pending'
                    OR lifecycle_phase = 'eligible' OR lifecycle_phase = 'blocked'
                )
        END
    ) VIRTUAL,
    -- Ours. The earliest instant at which time alone changes the row; NULL when none does. 9223372036854775807 stands
    -- for "never" inside min(), which answers NULL as soon as one argument is NULL. A delay whose instant nobody can
    -- read is due at once, so that a sweep meets the row instead of nobody.
    due_at_ms INTEGER GENERATED ALWAYS AS (
        CASE lifecycle_phase
        WHEN 'terminal' THEN NULL
        WHEN 'cancelled' THEN NULL
        WHEN 'completed' THEN NULL
        WHEN 'failed' THEN NULL
        WHEN 'expired' THEN NULL
        ELSE nullif(min(
            CASE WHEN eligibility_state = 'not_eligible_until_time' THEN coalesce(
                eligible_at_ms,
                CASE WHEN json_valid(raw_fields) THEN CAST(json_extract(raw_fields, '$.delay_until') AS INTEGER) END,
                0
            ) ELSE 9223372036854775807 END,
            coalesce(deadline_at_ms, 9223372036854775807),
            CASE WHEN lifecycle_phase = 'active' AND ownership_state = 'leased'
            THEN coalesce(attempt_timeout_at_ms, 9223372036854775807) ELSE 9223372036854775807 END
        ), 9223372036854775807) END
    ) VIRTUAL,
    PRIMARY KEY (partition_key, execution_id)
);

CREATE TABLE ff_execution_capabilities (
    execution_id BLOB NOT NULL,
    capability   TEXT NOT NULL,
    PRIMARY KEY (execution_id, capability)
) WITHOUT ROWID;

CREATE INDEX ff_execution_capabilities_capability_idx ON ff_execution_capabilities (capability, execution_id);

CREATE TABLE ff_attempt (
    partition_key       INTEGER NOT NULL,
    execution_id        BLOB    NOT NULL,
    attempt_index       INTEGER NOT NULL,
    lease_epoch         INTEGER NOT NULL DEFAULT 0,
    lease_expires_at_ms INTEGER,
    lease_expired_at_ms INTEGER,          -- ours
    attempt_id          BLOB,             -- ours
    lease_id            BLOB,             -- ours
    worker_id           TEXT,
    worker_instance_id  TEXT,
    started_at_ms       INTEGER,
    terminal_at_ms      INTEGER,
    outcome             TEXT,
    attempt_type        TEXT,             -- ours
    retry_at_ms         INTEGER,          -- ours
    failure_category    TEXT,             -- ours
    failure_reason      TEXT,             -- ours
    raw_fields          TEXT    NOT NULL DEFAULT '{}',
    usage               TEXT,
    policy              TEXT,
    PRIMARY KEY (partition_key, execution_id, attempt_index)
);

-- Flows -------------------------------------------------------------------------------------------------------------

CREATE TABLE ff_flow_core (
    partition_key     INTEGER NOT NULL,
    flow_id           BLOB    NOT NULL,
    graph_revision    INTEGER NOT NULL DEFAULT 0,
    public_flow_state TEXT    NOT NULL,
    created_at_ms     INTEGER NOT NULL,
    terminal_at_ms    INTEGER,
    raw_fields        TEXT    NOT NULL DEFAULT '{}',
    PRIMARY KEY (partition_key, flow_id)
);

CREATE TABLE ff_edge (
    partition_key  INTEGER NOT NULL,
    flow_id        BLOB    NOT NULL,
    edge_id        BLOB    NOT NULL,
    upstream_eid   BLOB    NOT NULL,
    downstream_eid BLOB    NOT NULL,
    policy         TEXT    NOT NULL,
    policy_version INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (partition_key, flow_id, edge_id)
);

CREATE TABLE ff_edge_group (
    partition_key                   INTEGER NOT NULL,
    flow_id                         BLOB    NOT NULL,
    downstream_eid                  BLOB    NOT NULL,
    policy                          TEXT    NOT NULL,
    k_target                        INTEGER NOT NULL DEFAULT 0,
    success_count                   INTEGER NOT NULL DEFAULT 0,
    fail_count                      INTEGER NOT NULL DEFAULT 0,
    skip_count                      INTEGER NOT NULL DEFAULT 0,
    running_count                   INTEGER NOT NULL DEFAULT 0,
    cancel_siblings_pending_flag    INTEGER NOT NULL DEFAULT 0,
    cancel_siblings_pending_members TEXT    NOT NULL DEFAULT '[]',
    PRIMARY KEY (partition_key, flow_id, downstream_eid)
);

CREATE TABLE ff_pending_cancel_groups (
    partition_key  INTEGER NOT NULL,
    flow_id        BLOB    NOT NULL,
    downstream_eid BLOB    NOT NULL,
    enqueued_at_ms INTEGER NOT NULL,
    PRIMARY KEY (partition_key, flow_id, downstream_eid)
);

CREATE TABLE ff_cancel_dispatch_outbox (
    partition_key  INTEGER NOT NULL,
    flow_id        BLOB    NOT NULL,
    downstream_eid BLOB    NOT NULL,
    target_exec_id BLOB    NOT NULL,
    reason         TEXT    NOT NULL,
    enqueued_at_ms INTEGER NOT NULL,
    PRIMARY KEY (partition_key, flow_id, downstream_eid, target_exec_id)
);

CREATE TABLE ff_cancel_backlog (
    partition_key       INTEGER NOT NULL,
    flow_id             BLOB    NOT NULL,
    requested_at_ms     INTEGER NOT NULL,
    requester           TEXT    NOT NULL DEFAULT '',
    reason              TEXT    NOT NULL DEFAULT '',
    grace_until_ms      INTEGER,
    cancellation_policy TEXT    NOT NULL,
    status              TEXT    NOT NULL DEFAULT 'pending',
    PRIMARY KEY (partition_key, flow_id)
);

CREATE TABLE ff_cancel_backlog_member (
    partition_key INTEGER NOT NULL,
    flow_id       BLOB    NOT NULL,
    execution_id  TEXT    NOT NULL,
    PRIMARY KEY (partition_key, flow_id, execution_id)
);

-- Suspension --------------------------------------------------------------------------------------------------------

CREATE TABLE ff_suspension_current (
    partition_key    INTEGER NOT NULL,
    execution_id     BLOB    NOT NULL,
    suspension_id    BLOB    NOT NULL,
    suspended_at_ms  INTEGER NOT NULL,
    timeout_at_ms    INTEGER,
    reason_code      TEXT,
    condition        TEXT    NOT NULL,
    satisfied_set    TEXT    NOT NULL DEFAULT '[]',
    member_map       TEXT    NOT NULL DEFAULT '{}',
    timeout_behavior TEXT,
    PRIMARY KEY (partition_key, execution_id)
);

CREATE TABLE ff_waitpoint_pending (
    partition_key         INTEGER NOT NULL,
    waitpoint_id          BLOB    NOT NULL,
    execution_id          BLOB    NOT NULL,
    token_kid             TEXT    NOT NULL,
    token                 TEXT    NOT NULL,
    created_at_ms         INTEGER NOT NULL,
    expires_at_ms         INTEGER,
    condition             TEXT,
    waitpoint_key         TEXT    NOT NULL DEFAULT '',
    state                 TEXT    NOT NULL DEFAULT 'pending',
    required_signal_names TEXT    NOT NULL DEFAULT '[]',
    activated_at_ms       INTEGER,
    PRIMARY KEY (partition_key, waitpoint_id)
);

CREATE TABLE ff_suspend_dedup (
    partition_key   INTEGER NOT NULL,
    idempotency_key TEXT    NOT NULL,
    outcome_json    TEXT    NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (partition_key, idempotency_key)
);

-- Streams -----------------------------------------------------------------------------------------------------------

CREATE TABLE ff_stream_frame (
    partition_key INTEGER NOT NULL,
    execution_id  BLOB    NOT NULL,
    attempt_index INTEGER NOT NULL,
    ts_ms         INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    fields        TEXT    NOT NULL,
    mode          TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (partition_key, execution_id, attempt_index, ts_ms, seq)
);

CREATE TABLE ff_stream_summary (
    partition_key    INTEGER NOT NULL,
    execution_id     BLOB    NOT NULL,
    attempt_index    INTEGER NOT NULL,
    document_json    TEXT    NOT NULL,
    version          INTEGER NOT NULL DEFAULT 0,
    patch_kind       TEXT,
    last_updated_ms  INTEGER NOT NULL,
    first_applied_ms INTEGER NOT NULL,
    PRIMARY KEY (partition_key, execution_id, attempt_index)
);

CREATE TABLE ff_stream_meta (
    partition_key       INTEGER NOT NULL,
    execution_id        BLOB    NOT NULL,
    attempt_index       INTEGER NOT NULL,
    ema_rate_hz         REAL    NOT NULL DEFAULT 0,
    last_append_ts_ms   INTEGER NOT NULL DEFAULT 0,
    maxlen_applied_last INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (partition_key, execution_id, attempt_index)
);

-- Events ------------------------------------------------------------------------------------------------------------
-- AUTOINCREMENT: an event id is never used twice, even after retention has removed the newest events.

CREATE TABLE ff_completion_event (
    event_id         INTEGER PRIMARY KEY AUTOINCREMENT,
    partition_key    INTEGER NOT NULL,
    execution_id     BLOB    NOT NULL,
    flow_id          BLOB,
    outcome          TEXT    NOT NULL,
    namespace        TEXT,
    instance_tag     TEXT,
    occurred_at_ms   INTEGER NOT NULL,
    committed_at_ms  INTEGER NOT NULL DEFAULT (CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)),
    dispatched_at_ms INTEGER,
    run              INTEGER NOT NULL DEFAULT 0 -- ours
);

CREATE TABLE ff_lease_event (
    event_id           INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id       TEXT    NOT NULL,
    lease_id           TEXT,
    event_type         TEXT    NOT NULL,
    occurred_at_ms     INTEGER NOT NULL,
    partition_key      INTEGER NOT NULL,
    namespace          TEXT,
    instance_tag       TEXT,
    lease_epoch        INTEGER, -- ours
    attempt_index      INTEGER, -- ours
    worker_instance_id TEXT,    -- ours
    cause              TEXT     -- ours
);

CREATE TABLE ff_signal_event (
    event_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id    TEXT    NOT NULL,
    signal_id       TEXT    NOT NULL,
    waitpoint_id    TEXT,
    source_identity TEXT,
    delivered_at_ms INTEGER NOT NULL,
    partition_key   INTEGER NOT NULL,
    namespace       TEXT,
    instance_tag    TEXT
);

CREATE TABLE ff_operator_event (
    event_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id   TEXT    NOT NULL,
    event_type     TEXT    NOT NULL
        CHECK (event_type IN ('priority_changed', 'replayed', 'flow_cancel_requested')),
    details        TEXT,
    occurred_at_ms INTEGER NOT NULL,
    partition_key  INTEGER NOT NULL,
    namespace      TEXT,
    instance_tag   TEXT
);

-- Budgets -----------------------------------------------------------------------------------------------------------

CREATE TABLE ff_budget_policy (
    partition_key     INTEGER NOT NULL,
    budget_id         TEXT    NOT NULL,
    policy_json       TEXT    NOT NULL,
    scope_type        TEXT    NOT NULL DEFAULT '',
    scope_id          TEXT    NOT NULL DEFAULT '',
    enforcement_mode  TEXT    NOT NULL DEFAULT '',
    breach_count      INTEGER NOT NULL DEFAULT 0,
    soft_breach_count INTEGER NOT NULL DEFAULT 0,
    last_breach_at_ms INTEGER,
    last_breach_dim   TEXT,
    next_reset_at_ms  INTEGER,
    created_at_ms     INTEGER NOT NULL,
    updated_at_ms     INTEGER NOT NULL,
    PRIMARY KEY (partition_key, budget_id)
);

CREATE TABLE ff_budget_usage (
    partition_key    INTEGER NOT NULL,
    budget_id        TEXT    NOT NULL,
    dimensions_key   TEXT    NOT NULL,
    current_value    INTEGER NOT NULL DEFAULT 0,
    last_reset_at_ms INTEGER,
    updated_at_ms    INTEGER NOT NULL,
    PRIMARY KEY (partition_key, budget_id, dimensions_key)
);

CREATE TABLE ff_budget_usage_dedup (
    partition_key INTEGER NOT NULL,
    dedup_key     TEXT    NOT NULL,
    outcome_json  TEXT    NOT NULL,
    applied_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (partition_key, dedup_key)
);

CREATE TABLE ff_budget_usage_by_exec (
    partition_key  INTEGER NOT NULL,
    budget_id      TEXT    NOT NULL,
    execution_id   TEXT    NOT NULL,
    dimensions_key TEXT    NOT NULL,
    delta_total    INTEGER NOT NULL DEFAULT 0,
    updated_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (partition_key, budget_id, execution_id, dimensions_key)
);

-- Quotas ------------------------------------------------------------------------------------------------------------

CREATE TABLE ff_quota_policy (
    partition_key               INTEGER NOT NULL,
    quota_policy_id             TEXT    NOT NULL,
    requests_per_window_seconds INTEGER NOT NULL,
    max_requests_per_window     INTEGER NOT NULL,
    active_concurrency_cap      INTEGER NOT NULL,
    active_concurrency          INTEGER NOT NULL DEFAULT 0,
    created_at_ms               INTEGER NOT NULL,
    updated_at_ms               INTEGER NOT NULL,
    PRIMARY KEY (partition_key, quota_policy_id)
);

CREATE TABLE ff_quota_window (
    partition_key   INTEGER NOT NULL,
    quota_policy_id TEXT    NOT NULL,
    dimension       TEXT    NOT NULL DEFAULT '',
    admitted_at_ms  INTEGER NOT NULL,
    execution_id    TEXT    NOT NULL,
    PRIMARY KEY (partition_key, quota_policy_id, dimension, admitted_at_ms, execution_id)
);

CREATE TABLE ff_quota_admitted (
    partition_key   INTEGER NOT NULL,
    quota_policy_id TEXT    NOT NULL,
    execution_id    TEXT    NOT NULL,
    admitted_at_ms  INTEGER NOT NULL,
    expires_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (partition_key, quota_policy_id, execution_id)
);

-- Grants and workers ------------------------------------------------------------------------------------------------

CREATE TABLE ff_claim_grant (
    partition_key       INTEGER NOT NULL,
    grant_id            BLOB    NOT NULL,
    execution_id        BLOB    NOT NULL,
    kind                TEXT    NOT NULL CHECK (kind IN ('claim', 'reclaim')),
    worker_id           TEXT    NOT NULL,
    worker_instance_id  TEXT    NOT NULL,
    lane_id             TEXT,
    capability_hash     TEXT,
    worker_capabilities TEXT    NOT NULL DEFAULT '[]',
    route_snapshot_json TEXT,
    admission_summary   TEXT,
    grant_ttl_ms        INTEGER NOT NULL,
    issued_at_ms        INTEGER NOT NULL,
    expires_at_ms       INTEGER NOT NULL,
    PRIMARY KEY (partition_key, grant_id)
);

CREATE TABLE ff_worker_registry (
    namespace          TEXT    NOT NULL,
    worker_instance_id TEXT    NOT NULL,
    worker_id          TEXT    NOT NULL,
    lanes              TEXT    NOT NULL,
    capabilities_csv   TEXT    NOT NULL,
    last_heartbeat_ms  INTEGER NOT NULL,
    liveness_ttl_ms    INTEGER NOT NULL,
    registered_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (namespace, worker_instance_id)
);

CREATE TABLE ff_worker_registry_event (
    namespace          TEXT    NOT NULL,
    worker_instance_id TEXT    NOT NULL,
    event_at_ms        INTEGER NOT NULL,
    event_kind         TEXT    NOT NULL,
    reason             TEXT,
    PRIMARY KEY (namespace, worker_instance_id, event_at_ms, event_kind)
);

-- Ledgers -----------------------------------------------------------------------------------------------------------
-- Readers count these rows and compare these numbers. Both are complete: what changes the schema later is recorded in
-- ff_schema_migration alone. 15 and 19 are unused numbers; 18 and 21 carry no annotation.

CREATE TABLE ff_schema_migration (
    version       INTEGER NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    applied_at_ms INTEGER NOT NULL
);

INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
SELECT column1, column2, strftime('%Y-%m-%d %H:%M:%S', 'now'), 1, x'', 0
FROM (VALUES
    (1, 'genesis'),
    (2, 'budgets'),
    (3, 'completion dispatch mark'),
    (4, 'suspend dedup'),
    (5, 'suspension timeout behavior'),
    (6, 'lease events'),
    (7, 'signal events'),
    (8, 'lease event tags'),
    (9, 'signal event tags'),
    (10, 'operator events'),
    (11, 'waitpoint state'),
    (12, 'quotas'),
    (13, 'budget counters'),
    (14, 'cancel backlog'),
    (16, 'started at'),
    (17, 'claim grants'),
    (18, 'completion lookup'),
    (20, 'spend by execution'),
    (21, 'worker registry')
);

INSERT INTO ff_migration_annotation (version, name, applied_at_ms, backward_compatible)
SELECT
    version,
    printf('%04d_%s', version, replace(description, ' ', '_')),
    CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER),
    version > 1
FROM _sqlx_migrations
WHERE version NOT IN (18, 21);

INSERT INTO ff_partition_config (num_flow_partitions, num_budget_partitions, num_quota_partitions, ff_version)
VALUES (1, 1, 1, '0.16.0');
