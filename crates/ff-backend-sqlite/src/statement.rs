//! Every statement the engine runs, by its name.
//!
//! The text of `EXECUTION_LOAD` is `sql/execution/load.sql`, whose first line says `-- execution_load`. Tests prepare and
//! explain all of them.

/// One statement: its text, and the place where a session keeps it prepared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) place: usize,
    pub(crate) sql: &'static str,
}

macro_rules! statements {
    ($($name:ident = $path:literal,)+) => {
        #[expect(non_camel_case_types, reason = "the names of the statements, to number them")]
        enum Place {
            $($name),+
        }

        $(pub(crate) const $name: Named = Named {
            place: Place::$name as usize,
            sql: include_str!(concat!("../sql/", $path, ".sql")),
        };)+

        /// How many there are.
        pub(crate) const COUNT: usize = [$(Place::$name as usize),+].len();

        /// Path and text of each.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($path, $name.sql)),+];
    };
}

statements! {
    AGENDA_LOAD = "agenda/load",
    ATTEMPT_EXTEND_LEASE = "attempt/extend_lease",
    ATTEMPT_FORGET = "attempt/forget",
    ATTEMPT_HIGHEST_EPOCH = "attempt/highest_epoch",
    ATTEMPT_LOAD = "attempt/load",
    ATTEMPT_PUT = "attempt/put",
    BUDGET_CHARGE_ADD = "budget_charge/add",
    BUDGET_CHARGE_DROP = "budget_charge/drop",
    BUDGET_CHARGE_LOAD = "budget_charge/load",
    BUDGET_CHARGE_TRIM = "budget_charge/trim",
    BUDGET_CHARGE_TRIMMED = "budget_charge/trimmed",
    BUDGET_COUNT_HARD_BREACH = "budget/count_hard_breach",
    BUDGET_COUNT_SOFT_BREACH = "budget/count_soft_breach",
    BUDGET_DUE = "budget/due",
    BUDGET_LIST = "budget/list",
    BUDGET_LOAD = "budget/load",
    BUDGET_NEXT_RESET = "budget/next_reset",
    BUDGET_OVERAGE_ADD = "budget_overage/add",
    BUDGET_OVERAGE_DROP = "budget_overage/drop",
    BUDGET_OVERAGE_LIST = "budget_overage/list",
    BUDGET_OVERAGE_LOAD = "budget_overage/load",
    BUDGET_OVERAGE_RAISE = "budget_overage/raise",
    BUDGET_PUT = "budget/put",
    BUDGET_REPORT_LOAD = "budget_report/load",
    BUDGET_REPORT_PUT = "budget_report/put",
    BUDGET_REPORT_TRIM = "budget_report/trim",
    BUDGET_USAGE_ADD = "budget_usage/add",
    BUDGET_USAGE_LOAD = "budget_usage/load",
    BUDGET_USAGE_RESET = "budget_usage/reset",
    BUDGET_USAGE_TAKE = "budget_usage/take",
    CANCEL_BACKLOG_CLOSE = "cancel_backlog/close",
    CANCEL_BACKLOG_DROP = "cancel_backlog/drop",
    CANCEL_BACKLOG_FIRST = "cancel_backlog/first",
    CANCEL_BACKLOG_FORGET = "cancel_backlog/forget",
    CANCEL_BACKLOG_MEMBER_ADD = "cancel_backlog_member/add",
    CANCEL_BACKLOG_MEMBER_DROP = "cancel_backlog_member/drop",
    CANCEL_BACKLOG_MEMBER_FORGET = "cancel_backlog_member/forget",
    CANCEL_BACKLOG_MEMBER_LIST = "cancel_backlog_member/list",
    CANCEL_BACKLOG_OPEN = "cancel_backlog/open",
    CANDIDATE_BELOW_PRIORITY = "candidate/below_priority",
    CANDIDATE_HAS_RESERVED = "candidate/has_reserved",
    CANDIDATE_IN_PRIORITY = "candidate/in_priority",
    CANDIDATE_RESERVED = "candidate/reserved",
    CAPABILITY_ADD = "capability/add",
    CAPABILITY_FORGET = "capability/forget",
    CLOCK_RAISE_FLOOR = "clock/raise_floor",
    CLOCK_READ_FLOOR = "clock/read_floor",
    CLOCK_RECORD_STEP = "clock/record_step",
    COMPLETION_EVENT_ADD = "completion_event/add",
    COMPLETION_EVENT_ANNOUNCED = "completion_event/announced",
    COMPLETION_EVENT_BOUNDS = "completion_event/bounds",
    COMPLETION_EVENT_DISPATCHED = "completion_event/dispatched",
    COMPLETION_EVENT_LIST = "completion_event/list",
    COMPLETION_EVENT_NEW = "completion_event/new",
    COMPLETION_EVENT_TRIM = "completion_event/trim",
    CREATE_DEDUP_LOAD = "create_dedup/load",
    CREATE_DEDUP_PUT = "create_dedup/put",
    CREATE_DEDUP_TRIM = "create_dedup/trim",
    EDGE_COUNT_INTO = "edge/count_into",
    EDGE_FORGET = "edge/forget",
    EDGE_GROUP_FORGET = "edge_group/forget",
    EDGE_GROUP_LIST = "edge_group/list",
    EDGE_GROUP_LOAD = "edge_group/load",
    EDGE_GROUP_PUT = "edge_group/put",
    EDGE_LIST = "edge/list",
    EDGE_LIST_FROM = "edge/list_from",
    EDGE_LIST_INTO = "edge/list_into",
    EDGE_LOAD = "edge/load",
    EDGE_OPEN_FROM = "edge/open_from",
    EDGE_OPEN_UPSTREAMS = "edge/open_upstreams",
    EDGE_PUT = "edge/put",
    EDGE_REACHES = "edge/reaches",
    EXECUTION_CREATE = "execution/create",
    EXECUTION_DUE = "execution/due",
    EXECUTION_ENDED = "execution/ended",
    EXECUTION_ENDED_MEMBERS = "execution/ended_members",
    EXECUTION_EXISTS = "execution/exists",
    EXECUTION_FORGET = "execution/forget",
    EXECUTION_IN_UUID_RANGE = "execution/in_uuid_range",
    EXECUTION_JOIN_FLOW = "execution/join_flow",
    EXECUTION_LOAD = "execution/load",
    EXECUTION_NEXT_DUE = "execution/next_due",
    EXECUTION_PARTITIONS = "execution/partitions",
    EXECUTION_PAYLOAD = "execution/payload",
    EXECUTION_PUT = "execution/put",
    EXECUTION_PUT_PAYLOAD = "execution/put_payload",
    EXECUTION_PUT_RESULT = "execution/put_result",
    EXECUTION_RESULT = "execution/result",
    EXECUTION_SCAN_ASCENDING = "execution/scan_ascending",
    EXECUTION_SCAN_DESCENDING = "execution/scan_descending",
    EXECUTION_SCAN_STATE_ASCENDING = "execution/scan_state_ascending",
    EXECUTION_SCAN_STATE_DESCENDING = "execution/scan_state_descending",
    FLOW_DUE_MEMBERS = "flow/due_members",
    FLOW_IN_UUID_RANGE = "flow/in_uuid_range",
    FLOW_LIST_ASCENDING = "flow/list_ascending",
    FLOW_LIST_DESCENDING = "flow/list_descending",
    FLOW_LOAD = "flow/load",
    FLOW_MEMBERS = "flow/members",
    FLOW_OPEN_MEMBERS = "flow/open_members",
    FLOW_PUT = "flow/put",
    FLOW_STANDINGS = "flow/standings",
    FLOW_TRIM = "flow/trim",
    FLOW_WORK = "flow/work",
    GATE_CLOSE = "gate/close",
    GATE_COUNT_PARKED = "gate/count_parked",
    GATE_DROP = "gate/drop",
    GATE_KEY_NEXT = "gate_key/next",
    GATE_KEY_PROBE = "gate_key/probe",
    GATE_LOOK_AT = "gate/look_at",
    GATE_NEXT_LOOK = "gate/next_look",
    GATE_NEXT_SWEEP = "gate/next_sweep",
    GATE_PARK = "gate/park",
    GATE_PARKED_BELOW_PRIORITY = "gate/parked_below_priority",
    GATE_PARKED_IN_PRIORITY = "gate/parked_in_priority",
    GATE_PUT = "gate/put",
    GATE_TO_LOOK_AT = "gate/to_look_at",
    GATE_TO_SWEEP = "gate/to_sweep",
    GATE_WAKE = "gate/wake",
    GRANT_DROP = "grant/drop",
    GRANT_FORGET = "grant/forget",
    GRANT_LOAD = "grant/load",
    GRANT_PUT = "grant/put",
    GRANT_TRIM = "grant/trim",
    LANE_COUNT_CLAIMABLE = "lane/count_claimable",
    LANE_COUNT_DELAYED = "lane/count_delayed",
    LANE_COUNT_LEASED = "lane/count_leased",
    LANE_COUNT_PARKED = "lane/count_parked",
    LANE_LIST = "lane/list",
    LANE_LOAD = "lane/load",
    LANE_PUT = "lane/put",
    LANE_REGISTER = "lane/register",
    LANE_STANDING = "lane/standing",
    LEASE_EVENT_ADD = "lease_event/add",
    LEASE_EVENT_BOUNDS = "lease_event/bounds",
    LEASE_EVENT_LIST = "lease_event/list",
    LEASE_EVENT_TRIM = "lease_event/trim",
    LEASE_EXPIRED = "lease/expired",
    OBSERVED_SUSPENSION_FORGET = "observed_suspension/forget",
    OBSERVED_SUSPENSION_PUT = "observed_suspension/put",
    OPERATOR_EVENT_ADD = "operator_event/add",
    OPERATOR_EVENT_BOUNDS = "operator_event/bounds",
    OPERATOR_EVENT_LIST = "operator_event/list",
    OPERATOR_EVENT_TRIM = "operator_event/trim",
    PAYLOAD_FORGET = "payload/forget",
    PAYLOAD_PUT = "payload/put",
    PENDING_CANCEL_GROUP_ADD = "pending_cancel_group/add",
    PENDING_CANCEL_GROUP_DROP = "pending_cancel_group/drop",
    PENDING_CANCEL_GROUP_FIRST = "pending_cancel_group/first",
    QUOTA_BIND_EXECUTION = "quota/bind_execution",
    QUOTA_BIND_LANE = "quota/bind_lane",
    QUOTA_LANES = "quota/lanes",
    QUOTA_LIST = "quota/list",
    QUOTA_LOAD = "quota/load",
    QUOTA_PUT = "quota/put",
    QUOTA_RESERVATION_COUNT = "quota_reservation/count",
    QUOTA_RESERVATION_DROP = "quota_reservation/drop",
    QUOTA_RESERVATION_FREE = "quota_reservation/free",
    QUOTA_RESERVATION_LOAD = "quota_reservation/load",
    QUOTA_RESERVATION_MARK = "quota_reservation/mark",
    QUOTA_RESERVATION_PUT = "quota_reservation/put",
    QUOTA_RESERVATION_TRIM = "quota_reservation/trim",
    QUOTA_SET_ACTIVE = "quota/set_active",
    QUOTA_SLOT_COUNT = "quota_slot/count",
    QUOTA_SLOT_FREE = "quota_slot/free",
    QUOTA_SLOT_LIVE = "quota_slot/live",
    QUOTA_SLOT_MARK = "quota_slot/mark",
    QUOTA_SLOT_TAKE = "quota_slot/take",
    QUOTA_WINDOW_ADD = "quota_window/add",
    QUOTA_WINDOW_BLOCKING = "quota_window/blocking",
    QUOTA_WINDOW_COUNT = "quota_window/count",
    QUOTA_WINDOW_PRUNE = "quota_window/prune",
    QUOTA_WINDOW_TRIM = "quota_window/trim",
    SIGNAL_ADD = "signal/add",
    SIGNAL_ADOPT = "signal/adopt",
    SIGNAL_BUFFERED = "signal/buffered",
    SIGNAL_COUNTED_ADD = "signal_counted/add",
    SIGNAL_COUNTED_FORGET = "signal_counted/forget",
    SIGNAL_COUNTED_LOAD = "signal_counted/load",
    SIGNAL_DEDUP_FORGET = "signal_dedup/forget",
    SIGNAL_DEDUP_LOAD = "signal_dedup/load",
    SIGNAL_DEDUP_PUT = "signal_dedup/put",
    SIGNAL_DEDUP_TRIM = "signal_dedup/trim",
    SIGNAL_EVENT_ADD = "signal_event/add",
    SIGNAL_EVENT_BOUNDS = "signal_event/bounds",
    SIGNAL_EVENT_LIST = "signal_event/list",
    SIGNAL_EVENT_TRIM = "signal_event/trim",
    SIGNAL_FORGET = "signal/forget",
    SIGNAL_KNOWN = "signal/known",
    SIGNAL_OBSERVED = "signal/observed",
    SIGNAL_TALLY = "signal/tally",
    SIGNING_KEY_DROP = "signing_key/drop",
    SIGNING_KEY_LIST = "signing_key/list",
    SIGNING_KEY_PUT = "signing_key/put",
    STREAM_FRAME_ADD = "stream_frame/add",
    STREAM_FRAME_FORGET = "stream_frame/forget",
    STREAM_FRAME_LIST = "stream_frame/list",
    STREAM_FRAME_TRIM_DURABLE = "stream_frame/trim_durable",
    STREAM_FRAME_TRIM_TRANSIENT = "stream_frame/trim_transient",
    STREAM_META_EXPIRE = "stream_meta/expire",
    STREAM_META_EXPIRED = "stream_meta/expired",
    STREAM_META_FORGET = "stream_meta/forget",
    STREAM_META_LOAD = "stream_meta/load",
    STREAM_META_PUT = "stream_meta/put",
    STREAM_META_TO_LOOK_AT = "stream_meta/to_look_at",
    STREAM_SUMMARY_FORGET = "stream_summary/forget",
    STREAM_SUMMARY_LOAD = "stream_summary/load",
    STREAM_SUMMARY_PUT = "stream_summary/put",
    SUSPEND_DEDUP_FORGET = "suspend_dedup/forget",
    SUSPEND_DEDUP_LOAD = "suspend_dedup/load",
    SUSPEND_DEDUP_PUT = "suspend_dedup/put",
    SUSPEND_DEDUP_TRIM = "suspend_dedup/trim",
    SUSPENSION_END = "suspension/end",
    SUSPENSION_FORGET = "suspension/forget",
    SUSPENSION_LIST = "suspension/list",
    SUSPENSION_LOAD = "suspension/load",
    SUSPENSION_LOAD_MAP = "suspension/load_map",
    SUSPENSION_PUT = "suspension/put",
    TRANSITION_ADD = "transition/add",
    TRANSITION_FORGET = "transition/forget",
    TRANSITION_LIST = "transition/list",
    WAITPOINT_ADD_CLOSED = "waitpoint/add_closed",
    WAITPOINT_CLOSE = "waitpoint/close",
    WAITPOINT_DROP = "waitpoint/drop",
    WAITPOINT_DROP_OF = "waitpoint/drop_of",
    WAITPOINT_EXISTS = "waitpoint/exists",
    WAITPOINT_EXPIRED = "waitpoint/expired",
    WAITPOINT_FORGET = "waitpoint/forget",
    WAITPOINT_FORGET_CLOSED = "waitpoint/forget_closed",
    WAITPOINT_KEEP_OPEN = "waitpoint/keep_open",
    WAITPOINT_LIST = "waitpoint/list",
    WAITPOINT_LOAD = "waitpoint/load",
    WAITPOINT_LOAD_CLOSED = "waitpoint/load_closed",
    WAITPOINT_PUT = "waitpoint/put",
    WAITPOINT_TRIM = "waitpoint/trim",
    WORKER_REGISTRY_EVENT_ADD = "worker_registry_event/add",
    WORKER_REGISTRY_EVENT_ANNOUNCED = "worker_registry_event/announced",
    WORKER_REGISTRY_EVENT_LIST = "worker_registry_event/list",
    WORKER_REGISTRY_EVENT_TRIM = "worker_registry_event/trim",
    WORKER_REGISTRY_LAPSED = "worker_registry/lapsed",
    WORKER_REGISTRY_LEASES_HELD = "worker_registry/leases_held",
    WORKER_REGISTRY_LIST = "worker_registry/list",
    WORKER_REGISTRY_LOAD = "worker_registry/load",
    WORKER_REGISTRY_NEXT_LAPSE = "worker_registry/next_lapse",
    WORKER_REGISTRY_PUT = "worker_registry/put",
    WORKER_REGISTRY_REMOVE = "worker_registry/remove",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::testing::database;

    /// Steps of plans that walk or sort, and why each is right. An empty path stands for any statement.
    const WALKS: &[(&str, &str, &str)] = &[
        ("", "SCAN CONSTANT ROW", "one row, not stored"),
        ("", "SCAN hop", "one row a partition, each from a search"),
        ("", "SCAN sqlite_sequence", "one row an outbox"),
        ("", "SCAN ff_engine_clock", "one row"),
        (
            "budget_charge/trim",
            "SCAN p USING INDEX ff_budget_policy_old_charges",
            "the budgets whose last period is not cleared away yet",
        ),
        (
            "budget_charge/trimmed",
            "SCAN p USING INDEX ff_budget_policy_old_charges",
            "the budgets whose last period is not cleared away yet",
        ),
        ("completion_event/trim", "SCAN ff_completion_event", "in id order, up to a limit"),
        ("lease_event/trim", "SCAN ff_lease_event", "in id order, up to a limit"),
        ("operator_event/trim", "SCAN ff_operator_event", "in id order, up to a limit"),
        ("signal_event/trim", "SCAN ff_signal_event", "in id order, up to a limit"),
        ("signal/buffered", "USE TEMP B-TREE FOR ORDER BY", "the signals of one waitpoint"),
        ("execution/next_due", "SCAN (subquery-1)", "one row, the head of an index"),
        ("execution/next_due", "SCAN (subquery-3)", "one row, the head of an index"),
        ("execution/next_due", "SCAN (subquery-5)", "one row, the head of an index"),
        (
            "signing_key/list",
            "SCAN ff_waitpoint_hmac USING INDEX sqlite_autoindex_ff_waitpoint_hmac_1",
            "a handful of keys",
        ),
        (
            "cancel_backlog/first",
            "SCAN ff_cancel_backlog USING COVERING INDEX ff_cancel_backlog_open",
            "its head",
        ),
        (
            "completion_event/announced",
            "SCAN ff_completion_event USING INDEX ff_completion_event_unresolved",
            "its head",
        ),
        ("edge/reaches", "SCAN reached", "the nodes of one flow, each once"),
        ("flow/members", "USE TEMP B-TREE FOR ORDER BY", "the members of one flow"),
        (
            "agenda/load",
            "SCAN ff_completion_event USING INDEX ff_completion_event_unresolved",
            "its head",
        ),
        (
            "agenda/load",
            "SCAN ff_pending_cancel_groups USING COVERING INDEX ff_pending_cancel_groups_queue",
            "its head",
        ),
        (
            "agenda/load",
            "SCAN ff_cancel_backlog USING COVERING INDEX ff_cancel_backlog_open",
            "its head",
        ),
        (
            "flow/work",
            "SCAN ff_completion_event USING INDEX ff_completion_event_unresolved",
            "its head",
        ),
        (
            "flow/work",
            "SCAN ff_pending_cancel_groups USING COVERING INDEX ff_pending_cancel_groups_queue",
            "its head",
        ),
        (
            "flow/work",
            "SCAN ff_cancel_backlog USING COVERING INDEX ff_cancel_backlog_open",
            "its head",
        ),
        (
            "pending_cancel_group/first",
            "SCAN ff_pending_cancel_groups USING COVERING INDEX ff_pending_cancel_groups_queue",
            "its head",
        ),
        ("grant/load", "USE TEMP B-TREE FOR ORDER BY", "the few grants of one execution"),
        (
            "worker_registry/leases_held",
            "USE TEMP B-TREE FOR GROUP BY",
            "the live leases, when a person asks",
        ),
        (
            "worker_registry_event/list",
            "SCAN ff_worker_registry_event",
            "the whole history, which retention bounds, when a person asks",
        ),
        (
            "worker_registry_event/list",
            "USE TEMP B-TREE FOR ORDER BY",
            "the whole history, which retention bounds, when a person asks",
        ),
    ];

    #[test]
    fn every_file_is_a_statement_and_says_its_name_first() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut files = BTreeSet::new();
        for topic in std::fs::read_dir(root).unwrap() {
            let topic = topic.unwrap();
            if topic.file_name() == "verify" {
                continue; // Walks every table on purpose; `crate::verify` tests it.
            }
            for file in std::fs::read_dir(topic.path()).unwrap() {
                let (topic, file) = (topic.file_name(), file.unwrap().file_name());
                let file = file.to_str().unwrap().strip_suffix(".sql").unwrap().to_owned();
                files.insert(format!("{}/{file}", topic.to_str().unwrap()));
            }
        }
        assert_eq!(files, ALL.iter().map(|(path, _)| (*path).to_owned()).collect());
        for (path, text) in ALL {
            let first = text.lines().next().unwrap();
            assert_eq!(first, format!("-- {}", path.replace('/', "_")));
            assert!(text.lines().nth(1).unwrap().starts_with("-- "), "{path} says what it does");
        }
    }

    #[test]
    fn every_statement_prepares_on_the_migrated_schema() {
        let conn = database();
        for (path, text) in ALL {
            if let Err(error) = conn.prepare(text) {
                panic!("{path}: {error}");
            }
        }
    }

    #[test]
    fn no_statement_walks_a_table_that_grows_without_a_reason() {
        let conn = database();
        let mut walks = Vec::new();
        for (path, text) in ALL {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
            let mut steps = explain.raw_query();
            while let Some(step) = steps.next().unwrap() {
                let step: String = step.get("detail").unwrap();
                // A sort of the last terms stays within rows that tie in the terms before.
                let sorts = step.contains("TEMP B-TREE") && !step.contains("LAST");
                let is_known = WALKS
                    .iter()
                    .any(|(at, known, _)| step == *known && (at.is_empty() || at == path));
                if (step.starts_with("SCAN") || sorts) && !is_known {
                    walks.push((*path, step));
                }
            }
        }
        assert_eq!(walks, []);
    }
}
