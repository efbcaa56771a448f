//! The registry of workers: who announced itself, who must be listed until when, with how many
//! leases, and that leases go their own way whatever stands there (I30).

use std::collections::{BTreeMap, BTreeSet};

use ff_core::contracts::*;
use ff_core::machine::transition::LeaseEventKind;
use ff_core::types::{ExecutionId, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};

use super::call::{Answer, CAPABILITIES, Call, LANES, Operation, strings};
use super::ledger::found;
use super::stage::{Stage, answered, at_once, broken};
use crate::invariants::Finding;
use crate::probe::News;

/// The list is compared after one heartbeat or sweep in so many.
const LISTED_EVERY: u32 = 8;

/// What is asked about workers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ask {
    Register { worker: u8, offer: u8, lanes: Vec<u8>, ttl_ms: u32 },
    Heartbeat(u8),
    MarkDead(u8),
}

impl Ask {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register_worker",
            Self::Heartbeat(_) => "heartbeat_worker",
            Self::MarkDead(_) => "mark_worker_dead",
        }
    }

    fn worker(&self) -> u8 {
        match self {
            Self::Register { worker, .. } | Self::Heartbeat(worker) | Self::MarkDead(worker) => {
                *worker
            }
        }
    }
}

/// The name of a worker, which is its instance's too.
pub(crate) fn name_of(worker: impl std::fmt::Display) -> String {
    format!("worker-{worker}")
}

fn namespace() -> Namespace {
    Namespace::new("sim")
}

fn lanes_of(lanes: &[u8]) -> BTreeSet<LaneId> {
    lanes.iter().map(|lane| LaneId::new(LANES[usize::from(*lane) % LANES.len()])).collect()
}

fn offered(offer: u8) -> BTreeSet<String> {
    strings(CAPABILITIES[usize::from(offer)]).into_iter().collect()
}

/// What a worker announced last.
#[derive(Debug, Clone)]
struct Announced {
    offer: u8,
    lanes: Vec<u8>,
    ttl_ms: i64,
    since: TimestampMs,
    heard_at: TimestampMs,
}

impl Announced {
    fn ends_at(&self) -> TimestampMs {
        TimestampMs(self.heard_at.0 + self.ttl_ms)
    }
}

/// What is known of the workers.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    announced: BTreeMap<u8, Announced>,
    /// Who got the newest lease of each execution, with its epoch.
    holders: BTreeMap<ExecutionId, (u64, WorkerInstanceId)>,
}

impl Registry {
    fn is_listed(&self, worker: u8, now: TimestampMs) -> bool {
        self.announced.get(&worker).is_some_and(|own| now < own.ends_at())
    }

    /// A worker is told whether it was there; from then on it is, or is not.
    fn note(&mut self, ask: &Ask, answer: &Answer, now: TimestampMs) -> Result<(), Finding> {
        let worker = ask.worker();
        let was_listed = self.is_listed(worker, now);
        let expected = match (ask, was_listed) {
            (Ask::Register { .. }, true) | (Ask::Heartbeat(_), true) => "Refreshed",
            (Ask::Register { .. }, false) => "Registered",
            (Ask::MarkDead(_), true) => "Marked",
            (Ask::Heartbeat(_) | Ask::MarkDead(_), false) => "NotRegistered",
        };
        if answer.word != expected {
            let known = self.announced.get(&worker);
            let detail = format!("{ask:?} is told {answer}, known at {now}: {known:?}");
            return Err(found("I30", None, detail));
        }
        match ask {
            Ask::Register { offer, lanes, ttl_ms, .. } => {
                let known = self.announced.get(&worker).filter(|_| was_listed);
                let since = known.map_or(now, |known| known.since);
                let (lanes, ttl_ms) = (lanes.clone(), i64::from(*ttl_ms));
                let own = Announced { offer: *offer, lanes, ttl_ms, since, heard_at: now };
                self.announced.insert(worker, own);
            }
            Ask::Heartbeat(_) => {
                if let Some(own) = self.announced.get_mut(&worker).filter(|_| was_listed) {
                    own.heard_at = now;
                }
            }
            Ask::MarkDead(_) => drop(self.announced.remove(&worker)),
        }
        Ok(())
    }
}

impl Stage {
    /// One call about workers.
    pub(crate) fn ask_registry(&self, now: TimestampMs, ask: &Ask) -> Result<Answer, Finding> {
        let instance = WorkerInstanceId::new(name_of(ask.worker()));
        match ask {
            Ask::Register { worker, offer, lanes, ttl_ms } => {
                let args = RegisterWorkerArgs::new(
                    WorkerId::new(name_of(worker)),
                    instance,
                    lanes_of(lanes),
                    offered(*offer),
                    u64::from(*ttl_ms),
                    namespace(),
                    now,
                );
                let said = at_once(self.backend().register_worker(args));
                let is_new = matches!(said, Ok(RegisterWorkerOutcome::Registered));
                answered(&said, if is_new { "Registered" } else { "Refreshed" })
            }
            Ask::Heartbeat(_) => {
                let args = HeartbeatWorkerArgs::new(instance, namespace(), now);
                let said = at_once(self.backend().heartbeat_worker(args));
                let until = match &said {
                    Ok(HeartbeatWorkerOutcome::Refreshed { next_expiry_ms }) => {
                        Some(*next_expiry_ms)
                    }
                    Ok(_) | Err(_) => None,
                };
                let word = if until.is_some() { "Refreshed" } else { "NotRegistered" };
                Ok(Answer { until, ..answered(&said, word)? })
            }
            Ask::MarkDead(_) => {
                let args = MarkWorkerDeadArgs::new(instance, namespace(), "sim".to_owned(), now);
                let said = at_once(self.backend().mark_worker_dead(args));
                let is_marked = matches!(said, Ok(MarkWorkerDeadOutcome::Marked));
                answered(&said, if is_marked { "Marked" } else { "NotRegistered" })
            }
        }
    }

    /// Whose lease was taken over, before the ledger and the holders know of the step.
    pub(crate) fn note_holders(&mut self, answer: &Answer, news: &News) {
        let now = self.now();
        for (_, event) in &news.lease_events {
            if event.kind != LeaseEventKind::Reclaimed {
                continue;
            }
            let Some((_, holder)) = self.registry.holders.get(&event.execution_id) else {
                continue;
            };
            let worker = holder.as_str().strip_prefix("worker-");
            let Some(worker) = worker.and_then(|text| text.parse().ok()) else { continue };
            let is_listed = self.registry.is_listed(worker, now);
            self.happened(if is_listed { "taken_from_listed" } else { "taken_from_unlisted" });
        }
        for held in &answer.held {
            if let Some(handle) = self.handle_of(held.grip)
                && let Ok(decoded) = ff_core::handle_codec::decode(&handle.opaque)
            {
                let of = decoded.payload;
                let holder = (held.epoch, of.worker_instance_id);
                self.registry.holders.insert(of.execution_id, holder);
            }
        }
    }

    /// I30: those who are heard of within their TTL are listed, as they announced themselves and
    /// with the leases they hold, and nobody else.
    pub(crate) fn check_registry(
        &mut self,
        operation: &Operation,
        answer: &Answer,
    ) -> Result<(), Finding> {
        let now = self.now();
        match &operation.call {
            Call::Registry(ask) if answer.is_ok => {
                self.registry.note(ask, answer, now)?;
                if matches!(ask, Ask::Heartbeat(_)) {
                    let own = self.registry.announced.get(&ask.worker());
                    let ends_at = own.map(Announced::ends_at).filter(|_| answer.until.is_some());
                    if ends_at != answer.until {
                        let detail = format!("{ask:?} is told {answer}, it ends at {ends_at:?}");
                        return Err(found("I30", None, detail));
                    }
                }
            }
            Call::Sweep => {}
            _ => return Ok(()),
        }
        let is_rare = !matches!(operation.call, Call::Sweep | Call::Registry(Ask::Heartbeat(_)));
        if !is_rare && !operation.number.is_multiple_of(LISTED_EVERY) {
            return Ok(());
        }
        let listed = at_once(self.backend().list_worker_status(&namespace()));
        let listed = listed.map_err(|error| broken(&error))?;
        let due = self.registry.announced.iter().filter(|(_, own)| now < own.ends_at());
        let due: BTreeMap<String, &Announced> =
            due.map(|(worker, own)| (name_of(worker), own)).collect();
        let lapsed = self.registry.announced.len() - due.len();
        let mut names = BTreeSet::new();
        for status in &listed {
            let name = status.worker.worker_instance_id.as_str();
            names.insert(name.to_owned());
            let Some(own) = due.get(name) else {
                let detail = format!("{name} is listed at {now}, past its TTL: {status:?}");
                return Err(found("I30", None, detail));
            };
            let held = self.registry.holders.iter().filter(|(id, (epoch, holder))| {
                let is_newest = self.ledger.epoch(id) == *epoch;
                is_newest && holder.as_str() == name && self.ledger.is_live(id, now)
            });
            let held = held.count() as u64;
            let is_as_announced = status.expires_at == own.ends_at()
                && status.worker.registered_at_ms == own.since
                && status.worker.lanes == lanes_of(&own.lanes)
                && status.worker.capabilities == offered(own.offer);
            if !is_as_announced || status.leases != held {
                let detail = format!("{name} holds {held}, announced {own:?}; listed {status:?}");
                return Err(found("I30", None, detail));
            }
        }
        if let Some(name) = due.keys().find(|name| !names.contains(*name)) {
            let detail = format!("{name} was heard of within its TTL and is not listed at {now}");
            return Err(found("I30", None, detail));
        }
        if lapsed > 0 {
            self.happened("workers_fell_silent");
        }
        Ok(())
    }
}
