//! The README's table of limits, written from the constants that enforce them.

use ff_core::contracts::{
    CLAIM_BATCH_MAX, CREATE_BATCH_MAX_BYTES, CREATE_BATCH_MAX_ROWS, FLOW_BYTES_MAX, FLOW_EDGES_MAX,
    FLOW_NODES_MAX,
};
use ff_core::machine::Limits;
use ff_core::machine::limits::{
    BUDGET_DIMENSIONS_MAX, BUDGETS_PER_EXECUTION_MAX, CONDITION_TERMS_MAX, DEDUP_WINDOW_MS,
    DELAY_MAX_MS, DURABLE_FRAMES_KEPT, DURABLE_FRAMES_KEPT_MAX, FRAME_MAX_BYTES,
    IDENTIFIER_MAX_BYTES, LANE_GATE_KEYS_MAX, LEASE_TTL_MAX_MS, LEASE_TTL_MIN_MS, NAME_MAX_BYTES,
    PAYLOAD_CEILING_BYTES, PRIORITY_MAX, QUOTA_WINDOW_MAX_SECONDS, REASON_MAX_BYTES,
    RECLAIMS_WITHOUT_POLICY, REPORT_DEDUP_MS, RETRIES_MAX, SIGNAL_PAYLOAD_MAX_BYTES,
    SIGNALS_PER_EXECUTION, SIGNALS_PER_EXECUTION_MAX, SUMMARY_MAX_BYTES, TAG_KEY_MAX_BYTES,
    TAG_VALUE_MAX_BYTES, TAGS_MAX, WAITPOINTS_PER_SUSPENSION_MAX,
};
use ff_core::policy::{CAPS_MAX_BYTES, CAPS_MAX_TOKENS, ExecutionPolicy};

const BEGIN: &str = "<!-- generated:limits -->\n";
const END: &str = "<!-- /generated -->";

#[test]
fn the_table_of_limits_is_current() {
    let path = xtask::root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has a place for the limits");
    let (written, after) = rest.split_once(END).expect("the place for the limits has an end");

    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }

    assert_eq!(written, table, "write it again with `cargo xtask docs`");
}

fn table() -> String {
    let limits = Limits::default();
    let policy = ExecutionPolicy::default();
    let rows = [
        (
            "payload, result",
            format!(
                "{} each by default, at most {}",
                bytes(limits.payload_bytes.min(limits.result_bytes)),
                bytes(PAYLOAD_CEILING_BYTES)
            ),
        ),
        (
            "one batch of creates",
            format!("{CREATE_BATCH_MAX_ROWS} rows, {}", bytes(CREATE_BATCH_MAX_BYTES)),
        ),
        ("one batch of claims", format!("{CLAIM_BATCH_MAX} executions")),
        ("lease", format!("{LEASE_TTL_MIN_MS} ms to {}", time(LEASE_TTL_MAX_MS))),
        ("delay, back-off, deadline", format!("{} ahead", time(DELAY_MAX_MS))),
        ("retries", format!("{RETRIES_MAX}; none without a retry policy")),
        (
            "reclaims",
            format!(
                "{} by default with a policy, {RECLAIMS_WITHOUT_POLICY} without; `ff submit` sets 3",
                policy.max_reclaim_count
            ),
        ),
        ("replays", format!("{} by default", policy.max_replay_count)),
        ("priority", format!("0 to {PRIORITY_MAX}; higher goes first")),
        (
            "tags",
            format!(
                "{TAGS_MAX}; key {}, value {}",
                bytes(TAG_KEY_MAX_BYTES),
                bytes(TAG_VALUE_MAX_BYTES)
            ),
        ),
        ("namespace, kind", bytes(NAME_MAX_BYTES)),
        ("worker, creator, idempotency key", bytes(IDENTIFIER_MAX_BYTES)),
        (
            "capabilities of one execution or worker",
            format!("{CAPS_MAX_TOKENS}, {} together", bytes(CAPS_MAX_BYTES)),
        ),
        ("distinct sets of capabilities waiting in one lane", LANE_GATE_KEYS_MAX.to_string()),
        ("stored reason of a failure", format!("{}; a longer one is cut", bytes(REASON_MAX_BYTES))),
        (
            "one flow",
            format!(
                "{FLOW_NODES_MAX} nodes, {FLOW_EDGES_MAX} edges, {} of payloads",
                bytes(FLOW_BYTES_MAX)
            ),
        ),
        (
            "one suspension",
            format!(
                "{WAITPOINTS_PER_SUSPENSION_MAX} waitpoints, {CONDITION_TERMS_MAX} terms in its condition"
            ),
        ),
        (
            "signals of one execution",
            format!(
                "{SIGNALS_PER_EXECUTION} by default, at most {SIGNALS_PER_EXECUTION_MAX}; {} each",
                bytes(SIGNAL_PAYLOAD_MAX_BYTES)
            ),
        ),
        (
            "budgets",
            format!(
                "{BUDGETS_PER_EXECUTION_MAX} of one execution, {BUDGET_DIMENSIONS_MAX} dimensions each; \
                 the key of a report counts for {}",
                time(REPORT_DEDUP_MS)
            ),
        ),
        ("window of a quota", time(QUOTA_WINDOW_MAX_SECONDS * 1_000)),
        (
            "stream",
            format!(
                "{} a frame; {DURABLE_FRAMES_KEPT} frames kept by default, at most \
                 {DURABLE_FRAMES_KEPT_MAX}; summary {}",
                bytes(FRAME_MAX_BYTES),
                bytes(SUMMARY_MAX_BYTES)
            ),
        ),
        ("idempotency key remembered", format!("{} by default", time(DEDUP_WINDOW_MS))),
        ("ended execution kept", format!("{} by default", time(limits.retention.0))),
        ("event kept", format!("{} by default", time(limits.event_retention.0))),
    ];
    let mut table = "| what | limit |\n|---|---|\n".to_owned();
    for (what, limit) in rows {
        table.push_str(&format!("| {what} | {limit} |\n"));
    }
    table
}

fn bytes(count: usize) -> String {
    match count {
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} bytes"),
    }
}

fn time(ms: u64) -> String {
    const HOUR: u64 = 60 * 60 * 1_000;
    match ms / HOUR {
        hours if hours >= 365 * 24 => format!("{} years", hours / (365 * 24)),
        hours if hours > 24 && hours.is_multiple_of(24) => format!("{} days", hours / 24),
        hours => format!("{hours} h"),
    }
}
