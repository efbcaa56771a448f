//! The registry of workers: who is there, for which lanes, until when.
//!
//! The registry informs people and schedulers; it fences nobody. Leases live and lapse by
//! themselves, whatever stands here, so a worker that is missing from it loses no work and one
//! that is listed keeps none.
//!
//! A registration ends at `last_heartbeat + ttl`, at that instant itself. What ended and was not
//! swept yet counts as gone everywhere.

pub mod expire;
pub mod heartbeat_worker;
pub mod mark_worker_dead;
pub mod register_worker;

pub use expire::Expire;
pub use heartbeat_worker::HeartbeatWorker;
pub use mark_worker_dead::MarkWorkerDead;
pub use register_worker::RegisterWorker;

use std::collections::BTreeSet;

use super::policy::later;
use crate::types::{DurationMs, LaneId, Namespace, TimestampMs, WorkerId, WorkerInstanceId};

/// The worker registry rows that a command must see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The registration of this instance.
    pub worker: Option<(Namespace, WorkerInstanceId)>,
}

/// The worker registry rows that a command is shown.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field answers the footprint field of the same name")]
pub struct Seen {
    pub worker: Option<Registration>,
}

impl Seen {
    /// Shows the effect of a write that is decided but not yet stored.
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::Put(worker) => self.worker = Some((**worker).clone()),
            Write::Remove { .. } => self.worker = None,
            Write::Note(_) => {}
        }
    }

    /// The registration, if it lives at `now`.
    fn living(&self, now: TimestampMs) -> Option<&Registration> {
        self.worker.as_ref().filter(|worker| worker.expires_at() > now)
    }
}

/// A worker registry row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the rows' own names")]
pub enum Write {
    /// A registration, inserted or replaced.
    Put(Box<Registration>),
    /// Removes a registration.
    Remove { namespace: Namespace, worker_instance_id: WorkerInstanceId },
    /// A line of the registry's history. One of the same kind and instant is there only once.
    Note(Box<RegistryEvent>),
}

/// A registered worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the contract's own names")]
pub struct Registration {
    pub namespace: Namespace,
    pub worker_instance_id: WorkerInstanceId,
    pub worker_id: WorkerId,
    pub lanes: BTreeSet<LaneId>,
    pub capabilities: BTreeSet<String>,
    pub last_heartbeat_at: TimestampMs,
    pub liveness_ttl: DurationMs,
    pub registered_at: TimestampMs,
}

impl Registration {
    /// The instant from which on it is gone.
    pub fn expires_at(&self) -> TimestampMs {
        later(self.last_heartbeat_at, self.liveness_ttl)
    }
}

/// What happened to a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the table's own names")]
pub struct RegistryEvent {
    pub namespace: Namespace,
    pub worker_instance_id: WorkerInstanceId,
    pub kind: RegistryEventKind,
    pub at: TimestampMs,
    pub reason: Option<String>,
    /// What it announced; with [`RegistryEventKind::Registered`] only, and unknown for lines that
    /// tools wrote.
    pub offer: Option<Offer>,
}

/// What a worker announces: the lanes it serves and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields carry the table's own names")]
pub struct Offer {
    pub lanes: BTreeSet<LaneId>,
    pub capabilities: BTreeSet<String>,
}

impl RegistryEvent {
    fn of(worker: &Registration, kind: RegistryEventKind, at: TimestampMs) -> Write {
        let offer = (kind == RegistryEventKind::Registered).then(|| Offer {
            lanes: worker.lanes.clone(),
            capabilities: worker.capabilities.clone(),
        });
        Write::Note(Box::new(Self {
            namespace: worker.namespace.clone(),
            worker_instance_id: worker.worker_instance_id.clone(),
            kind,
            at,
            reason: None,
            offer,
        }))
    }
}

/// The kinds of registry event, by their stored words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegistryEventKind {
    /// It announced itself, for the first time or again.
    Registered,
    /// It said that it lives.
    Heartbeat,
    /// Somebody declared it dead.
    MarkedDead,
    /// It fell silent.
    TtlSwept,
}

impl RegistryEventKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Heartbeat => "heartbeat",
            Self::MarkedDead => "marked_dead",
            Self::TtlSwept => "ttl_swept",
        }
    }

    /// Reads the stored word.
    pub fn from_wire(text: &str) -> Option<Self> {
        Some(match text {
            "registered" => Self::Registered,
            "heartbeat" => Self::Heartbeat,
            "marked_dead" => Self::MarkedDead,
            "ttl_swept" => Self::TtlSwept,
            _ => return None,
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::machine::execution::testing::now_plus;
    use crate::machine::{Change, Snapshot, Transition};

    /// A worker whose registration ends `left_ms` after the present.
    pub(crate) fn worker(left_ms: i64) -> Registration {
        Registration {
            namespace: Namespace::new("tenant"),
            worker_instance_id: WorkerInstanceId::new("host:1"),
            worker_id: WorkerId::new("render"),
            lanes: [LaneId::new("fast")].into(),
            capabilities: ["gpu".to_owned()].into(),
            last_heartbeat_at: now_plus(left_ms - 1_000),
            liveness_ttl: DurationMs(1_000),
            registered_at: now_plus(-9_000),
        }
    }

    pub(crate) fn seen(worker: impl Into<Option<Registration>>) -> Snapshot {
        let mut seen = Snapshot::default();
        seen.worker.worker = worker.into();
        seen
    }

    pub(crate) fn writes<T>(transition: &Transition<T>) -> Vec<&Write> {
        let mut writes = Vec::new();
        for change in &transition.changes {
            match change {
                Change::Worker(write) => writes.push(write),
                other => panic!("the registry writes its own rows only, not {other:?}"),
            }
        }
        writes
    }

    /// The kinds of the history's new lines.
    pub(crate) fn notes<T>(transition: &Transition<T>) -> Vec<RegistryEventKind> {
        let of = |write: &&Write| match write {
            Write::Note(note) => Some(note.kind),
            Write::Put(_) | Write::Remove { .. } => None,
        };
        writes(transition).iter().filter_map(of).collect()
    }

    #[test]
    fn a_kind_reads_back_from_its_word() {
        use RegistryEventKind::{Heartbeat, MarkedDead, Registered, TtlSwept};
        for kind in [Registered, Heartbeat, MarkedDead, TtlSwept] {
            assert_eq!(RegistryEventKind::from_wire(kind.as_str()), Some(kind));
        }
        assert_eq!(RegistryEventKind::from_wire("retired"), None);
    }
}
