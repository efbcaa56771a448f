//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;

use super::call::Operation;
use super::fault::{Counts, FAULTS};
use super::ledger::found;
use super::world::World;
use crate::invariants::Finding;

/// What a run covered.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Report {
    pub seeds: u64,
    pub simulated_ms: u64,
    pub operations: u64,
    /// Seeds that ran twice and did the same.
    pub repeated: u64,
    answers: BTreeMap<(&'static str, String), u64>,
    happened: BTreeMap<&'static str, u64>,
    faults: Counts,
    hash: u64,
    log: Vec<String>,
}

/// Operations that a full run must have seen succeed.
const OPERATIONS: [&str; 49] = [
    "create",
    "claim",
    "issue_claim_grant",
    "claim_execution",
    "issue_reclaim_grant",
    "reclaim_execution",
    "issue_grant_and_claim",
    "renew",
    "progress",
    "append_frame",
    "complete",
    "fail",
    "cancel",
    "delay",
    "release_lease",
    "cancel_execution",
    "revoke_lease",
    "replay_execution",
    "change_priority",
    "set_lane_state",
    "get_execution_result",
    "subscribe",
    "submit_flow",
    "create_flow",
    "add_execution_to_flow",
    "set_edge_group_policy",
    "stage_dependency_edge",
    "apply_dependency_to_child",
    "cancel_flow",
    "wait_children",
    "create_waitpoint",
    "suspend",
    "deliver_signal",
    "deliver_approval_signal",
    "rotate_waitpoint_hmac_secret_all",
    "resume_execution",
    "report_usage",
    "report_usage_admin",
    "record_spend",
    "release_budget",
    "create_budget",
    "set_budget_limits",
    "reset_budget",
    "create_quota_policy",
    "bind_quota",
    "unbind_quota",
    "register_worker",
    "heartbeat_worker",
    "mark_worker_dead",
];

/// What a full run must have seen come about.
const HAPPENINGS: [&str; 12] = [
    "breaches_refused",
    "breaches_parked",
    "breaches_cancelled",
    "breaches_failed",
    "interval_resets",
    "waits_for_an_own_quota",
    "workers_fell_silent",
    "taken_from_listed",
    "taken_from_unlisted",
    "worlds_grew_old",
    "streams_over",
    "live_frames_over",
];

impl Report {
    pub(crate) fn of(world: World) -> Self {
        let stage = world.stage;
        Self {
            seeds: 1,
            simulated_ms: stage.at_ms,
            operations: stage.operations,
            repeated: 0,
            hash: stage.hash(),
            answers: stage.answers,
            happened: stage.happened,
            faults: world.faults,
            log: stage.lines.unwrap_or_default(),
        }
    }

    /// Notes that the seed ran twice; that it did something else is the error.
    pub(crate) fn repeated(&mut self, again: &Self) -> Result<(), Finding> {
        if self.hash != again.hash || self.operations != again.operations {
            let detail = format!(
                "the same seed did {} operations (hash {:016x}), then {} (hash {:016x})",
                self.operations, self.hash, again.operations, again.hash
            );
            return Err(found("determinism", None, detail));
        }
        self.repeated += 1;
        Ok(())
    }

    pub(crate) fn add(&mut self, done: Self) {
        self.seeds += done.seeds;
        self.simulated_ms += done.simulated_ms;
        self.operations += done.operations;
        self.repeated += done.repeated;
        // Seeds end in any order; what stands for all of them must not depend on it.
        self.hash ^= done.hash;
        for (key, count) in done.answers {
            *self.answers.entry(key).or_default() += count;
        }
        for (what, count) in done.happened {
            *self.happened.entry(what).or_default() += count;
        }
        for (fault, count) in done.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        self.log.extend(done.log);
    }

    /// Kinds of fault, operations and happenings that never came about.
    pub fn missing(&self) -> Vec<&'static str> {
        let faults = FAULTS
            .into_iter()
            .filter(|(fault, _)| self.faults.get(fault).is_none_or(|count| *count == 0))
            .map(|(_, name)| name);
        let succeeded = |operation: &&str| {
            self.answers.keys().any(|(name, code)| name == operation && !code.starts_with('!'))
        };
        let operations = OPERATIONS.into_iter().filter(|operation| !succeeded(operation));
        let happenings = HAPPENINGS.into_iter().filter(|what| !self.happened.contains_key(what));
        faults.chain(operations).chain(happenings).collect()
    }

    /// Each operation with its answers; a refusal is marked by `!`.
    pub fn table(&self) -> String {
        let mut table: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((operation, code), count) in &self.answers {
            table.entry(*operation).or_default().push(format!("{code} {count}"));
        }
        let rows = table.iter().map(|(name, codes)| format!("{name:<24}{}", codes.join(", ")));
        rows.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn log(&self) -> &[String] {
        &self.log
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated_ms / 3_600_000;
        write!(
            f,
            "simulation: seeds={} simulated={}d{}h operations={} repeated={}",
            self.seeds,
            hours / 24,
            hours % 24,
            self.operations,
            self.repeated
        )?;
        for (fault, name) in FAULTS {
            write!(f, " {name}={}", self.faults.get(&fault).copied().unwrap_or(0))?;
        }
        for what in HAPPENINGS {
            write!(f, " {what}={}", self.happened.get(what).copied().unwrap_or(0))?;
        }
        let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
        for ((_, code), count) in &self.answers {
            if let Some(kind) = code.strip_prefix('!') {
                *refusals.entry(kind).or_default() += count;
            }
        }
        let refusals: Vec<String> =
            refusals.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        write!(f, " refusals=[{}] hash={:016x} violations=0", refusals.join(" "), self.hash)
    }
}

/// A violated invariant.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Failure {
    pub seed: u64,
    pub finding: Finding,
    /// The shortest list of calls found that still violates it, or the last of them.
    pub(crate) operations: Vec<Operation>,
    pub(crate) is_shortened: bool,
    pub replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} violates {}", self.seed, self.finding)?;
        let what = if self.is_shortened {
            "these calls alone violate it"
        } else {
            "the calls alone do not violate it; the last of them"
        };
        writeln!(f, "{what}:")?;
        for operation in &self.operations {
            writeln!(f, "  {operation}")?;
        }
        write!(f, "replay: FF_SIM_SEED={} {}", self.seed, self.replay)
    }
}
