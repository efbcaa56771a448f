//! Leases in random sequences: claimed, granted, kept, lost and taken back.

use ff_core::EngineError;
use ff_core::backend::{CapabilitySet, ClaimPolicy, Handle, stub_handle_fresh};
use ff_core::contracts::*;
use ff_core::types::{
    AttemptId, AttemptIndex, LaneId, LeaseId, TimestampMs, WorkerId, WorkerInstanceId,
};
use uuid::Uuid;

use super::alphabet::{CAPABILITIES, Proof, SLOTS, Tweak, Worker};
use super::compare::Answer;
use super::driver::{World, partition};
use super::lane::lane;
use crate::probe::Engine;

/// One call about leases.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Claim { lane: u8, worker: Worker },
    ClaimBatch { lanes: u8, worker: Worker, max: u32 },
    ClaimForWorker { lane: u8, worker: Worker },
    IssueClaimGrant { slot: u8, worker: Worker },
    ClaimExecution { slot: u8, worker: Worker, timeout: Option<u64> },
    IssueGrantAndClaim { slot: u8, ttl: u64 },
    Renew(Proof),
    RenewLease { proof: Proof, ttl: u64 },
    Revoke { slot: u8, lease: Tweak },
    IssueReclaimGrant { slot: u8, worker: Worker },
    Reclaim { slot: u8, worker: Worker, cap: Option<u32> },
    ListExpired { ahead: i64, limit: u32, paged: bool },
    CheckLeases { ages: Vec<u8> },
    Release(Proof),
}

#[expect(clippy::too_many_lines, reason = "one arm per operation")]
pub(super) async fn ask(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Claim { lane: index, worker } => {
            let offer = CapabilitySet::new(offer(*worker));
            let said = backend.claim(&lane(*index), &offer, claim_policy(*worker)).await;
            let handles: Vec<Handle> = said.iter().flatten().cloned().collect();
            Answer::new("claim", said.map(|claimed| claimed.map(|handle| handle.kind)))
                .with_handles(&handles)
        }
        Call::ClaimBatch { lanes, worker, max } => {
            let lanes: Vec<LaneId> = match lanes {
                0 => vec![lane(0)],
                1 => vec![lane(1)],
                2 => vec![lane(1), lane(0)],
                _ => Vec::new(),
            };
            let offer = CapabilitySet::new(offer(*worker));
            let said = backend.claim_batch(&lanes, &offer, claim_policy(*worker), *max).await;
            let handles: Vec<Handle> =
                said.iter().flatten().map(|work| work.handle.clone()).collect();
            let said = said.map(|mut works| {
                for work in &mut works {
                    work.handle = stub_handle_fresh();
                }
                works
            });
            Answer::new("claim_batch", said).with_handles(&handles)
        }
        Call::ClaimForWorker { lane: index, worker } => {
            let args = ClaimForWorkerArgs::new(
                lane(*index),
                worker_id(*worker),
                instance_id(*worker),
                offer(*worker).into_iter().collect(),
                worker.ttl,
            );
            Answer::new("claim_for_worker", backend.claim_for_worker(args).await)
        }
        Call::IssueClaimGrant { slot, worker } => {
            let id = world.id(*slot);
            let args = IssueClaimGrantArgs::new(
                id.clone(),
                lane(0),
                worker_id(*worker),
                instance_id(*worker),
                partition(id),
                offer(*worker).into_iter().collect(),
                worker.ttl,
                TimestampMs(0),
            );
            Answer::new("issue_claim_grant", backend.issue_claim_grant(args).await)
        }
        Call::ClaimExecution { slot, worker, timeout } => {
            let (lease_id, attempt_id) = world.drawn_ids();
            let args = ClaimExecutionArgs::new(
                world.id(*slot).clone(),
                worker_id(*worker),
                instance_id(*worker),
                lane(0),
                lease_id,
                worker.ttl,
                attempt_id,
                AttemptIndex(0),
                String::new(),
                *timeout,
                None,
                TimestampMs(0),
            );
            let said = backend.claim_execution(args).await.map(|claimed| {
                let ClaimExecutionResult::Claimed(claimed) = claimed else {
                    unreachable!("a claim by grant has one answer")
                };
                claimed
            });
            let handles: Vec<Handle> = said.iter().map(|claimed| claimed.handle.clone()).collect();
            let said = said.map(|mut claimed| {
                claimed.handle = stub_handle_fresh();
                claimed
            });
            Answer::new("claim_execution", said).with_handles(&handles)
        }
        Call::IssueGrantAndClaim { slot, ttl } => {
            let args = IssueGrantAndClaimArgs::new(world.id(*slot).clone(), lane(0), *ttl);
            let said = backend.issue_grant_and_claim(args).await;
            let bare = said.as_ref().ok().cloned();
            Answer { bare, ..Answer::new("issue_grant_and_claim", said) }
        }
        Call::Renew(proof) => {
            Answer::new("renew", backend.renew(&world.handle(engine, *proof)).await)
        }
        Call::RenewLease { proof, ttl } => {
            let (execution_id, attempt_index, fence) = world.fence(*proof);
            let args = RenewLeaseArgs {
                execution_id,
                attempt_index,
                fence,
                lease_ttl_ms: *ttl,
                lease_history_grace_ms: 0,
            };
            Answer::new("renew_lease", backend.renew_lease(args).await)
        }
        Call::Revoke { slot, lease } => {
            let id = world.id(*slot);
            let newest = world.held.iter().rev().find(|(_, held)| held.execution_id == *id);
            let expected_lease_id = match lease {
                Tweak::None => newest.map(|(_, held)| held.lease_id.to_string()),
                Tweak::OtherLease => Some("other".to_owned()),
                Tweak::EpochAhead
                | Tweak::EpochBehind
                | Tweak::OtherAttemptId
                | Tweak::OtherIndex
                | Tweak::Absent
                | Tweak::Garbled => None,
            };
            let holder = newest.map(|(_, held)| held.worker_instance_id.clone());
            let args = RevokeLeaseArgs {
                execution_id: id.clone(),
                expected_lease_id,
                worker_instance_id: holder.unwrap_or_else(|| "instance-0".into()),
                reason: "model".to_owned(),
            };
            Answer::new("revoke_lease", backend.revoke_lease(args).await)
        }
        Call::IssueReclaimGrant { slot, worker } => {
            let args = IssueReclaimGrantArgs::new(
                world.id(*slot).clone(),
                worker_id(*worker),
                instance_id(*worker),
                lane(0),
                None,
                worker.ttl,
                None,
                None,
                offer(*worker).into_iter().collect(),
                TimestampMs(0),
            );
            Answer::new("issue_reclaim_grant", backend.issue_reclaim_grant(args).await)
        }
        Call::Reclaim { slot, worker, cap } => {
            let (lease_id, attempt_id) = world.drawn_ids();
            let args = ReclaimExecutionArgs::new(
                world.id(*slot).clone(),
                worker_id(*worker),
                instance_id(*worker),
                lane(0),
                None,
                lease_id,
                worker.ttl,
                attempt_id,
                String::new(),
                *cap,
                "instance-0".into(),
                AttemptIndex(0),
            );
            let said = backend.reclaim_execution(args).await;
            let handles: Vec<Handle> = match &said {
                Ok(ReclaimExecutionOutcome::Claimed(handle)) => vec![handle.clone()],
                _ => Vec::new(),
            };
            let said = said.map(|outcome| match outcome {
                ReclaimExecutionOutcome::Claimed(_) => {
                    ReclaimExecutionOutcome::Claimed(stub_handle_fresh())
                }
                refused => refused,
            });
            Answer::new("reclaim_execution", said).with_handles(&handles)
        }
        Call::ListExpired { ahead, limit, paged } => Answer::new(
            "list_expired_leases",
            expired_pages(engine, world.later(*ahead), *limit, *paged).await,
        ),
        Call::CheckLeases { ages } => {
            let handles: Vec<Handle> = ages
                .iter()
                .map(|age| world.handle(engine, Proof { age: *age, tweak: Tweak::None }))
                .collect();
            Answer::new("check_leases", backend.check_leases(&handles).await)
        }
        Call::Release(proof) => {
            let handle = world.handle(engine, *proof);
            Answer::new("release_lease", backend.release_lease(&handle).await)
        }
    }
}

impl World {
    /// Ids that a caller brings, the same for both engines and new at every step.
    fn drawn_ids(&self) -> (LeaseId, AttemptId) {
        let drawn = (u128::from(self.setup.seed) << 64) | (self.step as u128) << 8;
        (
            LeaseId::from_uuid(Uuid::from_u128(drawn | 0xA)),
            AttemptId::from_uuid(Uuid::from_u128(drawn | 0xB)),
        )
    }
}

pub(super) fn worker_id(worker: Worker) -> WorkerId {
    WorkerId::new(format!("worker-{}", worker.number))
}

pub(super) fn instance_id(worker: Worker) -> WorkerInstanceId {
    WorkerInstanceId::new(format!("instance-{}", worker.number))
}

/// An index beyond the sets is an offer that is malformed.
fn offer(worker: Worker) -> Vec<String> {
    match CAPABILITIES.get(usize::from(worker.has)) {
        Some(tokens) => tokens.iter().map(|token| (*token).to_owned()).collect(),
        None => vec!["two words".to_owned()],
    }
}

fn claim_policy(worker: Worker) -> ClaimPolicy {
    let ttl = u32::try_from(worker.ttl).unwrap_or(u32::MAX);
    ClaimPolicy::new(worker_id(worker), instance_id(worker), ttl, None)
}

async fn expired_pages(
    engine: &Engine,
    as_of: TimestampMs,
    limit: u32,
    paged: bool,
) -> Result<Vec<ListExpiredLeasesResult>, EngineError> {
    let mut args = ListExpiredLeasesArgs::new(as_of);
    args.limit = Some(limit);
    let mut pages = Vec::new();
    loop {
        let page = engine.backend().list_expired_leases(args.clone()).await?;
        args.after.clone_from(&page.cursor);
        let goes_on = paged && page.cursor.is_some() && pages.len() < usize::from(SLOTS);
        pages.push(page);
        if !goes_on {
            return Ok(pages);
        }
    }
}
