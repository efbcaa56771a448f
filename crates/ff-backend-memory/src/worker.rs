//! The registry of workers.

use std::collections::BTreeMap;
use std::ops::Bound;

use ff_core::machine::limits::HEARTBEAT_EVENT_RETENTION_MS;
use ff_core::machine::worker::{
    Registration, RegistryEvent, RegistryEventKind, Seen, Wanted, Write,
};
use ff_core::types::{Namespace, TimestampMs, WorkerInstanceId};

/// A registration's key.
type WorkerAt = (String, String);

/// The rows of the registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workers {
    living: BTreeMap<WorkerAt, Registration>,
    events: BTreeMap<(TimestampMs, WorkerAt, &'static str), RegistryEvent>,
}

fn at(namespace: &Namespace, instance: &WorkerInstanceId) -> WorkerAt {
    (namespace.0.clone(), instance.as_str().to_owned())
}

impl Workers {
    pub(crate) fn load(&self, wanted: &Wanted) -> Seen {
        let found = wanted
            .worker
            .as_ref()
            .and_then(|(namespace, instance)| self.living.get(&at(namespace, instance)).cloned());
        Seen { worker: found }
    }

    pub(crate) fn apply(&mut self, write: &Write) {
        match write {
            Write::Put(worker) => {
                let key = at(&worker.namespace, &worker.worker_instance_id);
                self.living.insert(key, (**worker).clone());
            }
            Write::Remove { namespace, worker_instance_id } => {
                self.living.remove(&at(namespace, worker_instance_id));
            }
            Write::Note(event) => {
                let key = at(&event.namespace, &event.worker_instance_id);
                self.events
                    .entry((event.at, key, event.kind.as_str()))
                    .or_insert_with(|| (**event).clone());
            }
        }
    }

    pub(crate) fn list(
        &self,
        namespace: &Namespace,
        now: TimestampMs,
        after: Option<&WorkerInstanceId>,
        limit: usize,
    ) -> Vec<Registration> {
        let start = match after {
            None => Bound::Included((namespace.0.clone(), String::new())),
            Some(last) => Bound::Excluded(at(namespace, last)),
        };
        self.living
            .range((start, Bound::Unbounded))
            .map(|(_, worker)| worker)
            .take_while(|worker| worker.namespace == *namespace)
            .filter(|worker| worker.expires_at() > now)
            .take(limit)
            .cloned()
            .collect()
    }

    pub(crate) fn lapsed(
        &self,
        now: TimestampMs,
        limit: usize,
    ) -> Vec<(Namespace, WorkerInstanceId)> {
        let mut over: Vec<(TimestampMs, &WorkerAt, &Registration)> = self
            .living
            .iter()
            .map(|(at, worker)| (worker.expires_at(), at, worker))
            .filter(|(ends, _, _)| *ends <= now)
            .collect();
        over.sort_by_key(|(ends, at, _)| (*ends, *at));
        over.into_iter()
            .take(limit)
            .map(|(_, _, worker)| (worker.namespace.clone(), worker.worker_instance_id.clone()))
            .collect()
    }

    pub(crate) fn next_lapse(&self) -> Option<TimestampMs> {
        self.living.values().map(Registration::expires_at).min()
    }

    pub(crate) fn events(&self, limit: usize) -> Vec<RegistryEvent> {
        self.events.values().take(limit).cloned().collect()
    }

    pub(crate) fn announcements(&self, namespace: &Namespace, limit: usize) -> Vec<RegistryEvent> {
        self.events
            .values()
            .rev()
            .filter(|event| event.kind == RegistryEventKind::Registered)
            .filter(|event| event.namespace == *namespace)
            .take(limit)
            .cloned()
            .collect()
    }

    /// Removes lines of the history that are out of date, at most `limit` of each kind; answers
    /// how many.
    pub(crate) fn trim(&mut self, now: TimestampMs, before: TimestampMs, limit: usize) -> usize {
        let mut trimmed = 0;
        for (kind, before) in kept_since(now, before) {
            let old: Vec<_> = self
                .events
                .iter()
                .filter(|(_, event)| event.kind == kind && event.at < before)
                .take(limit)
                .map(|(key, _)| key.clone())
                .collect();
            trimmed += old.len();
            for key in old {
                self.events.remove(&key);
            }
        }
        trimmed
    }
}

/// Since when each kind of line is kept.
fn kept_since(now: TimestampMs, before: TimestampMs) -> [(RegistryEventKind, TimestampMs); 4] {
    let hour = i64::try_from(HEARTBEAT_EVENT_RETENTION_MS).unwrap_or(i64::MAX);
    let beats = TimestampMs(now.0.saturating_sub(hour)).max(before);
    [
        (RegistryEventKind::Registered, before),
        (RegistryEventKind::Heartbeat, beats),
        (RegistryEventKind::MarkedDead, before),
        (RegistryEventKind::TtlSwept, before),
    ]
}
