//! Leases: claims now or later, grants, reclaims, and who still holds what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{invalid, opened, present};
use crate::backend::{CapabilitySet, ClaimPolicy, Handle, LeaseRenewal, ResumeToken};
use crate::contracts::*;
use crate::engine_error::{ContentionKind, EngineError, StateKind, ValidationKind};
use crate::handle_codec::HandlePayload;
use crate::machine::budget::Park;
use crate::machine::drive::{self, ClaimRequest};
use crate::machine::execution::Delay;
use crate::machine::lease::{
    ClaimExecution, ClaimFromResumeGrant, ClaimResumedExecution, Claimed, Claimer, IssueClaimGrant,
    IssueGrantAndClaim, IssueReclaimGrant, ReclaimExecution, ReclaimGranted, Reclaimed, Renew,
    Revoke, Revoked, named, ttl,
};
use crate::machine::rows::{Candidate, Execution};
use crate::machine::{Context, Fence, Footprint, Limits, Snapshot, gate, policy, sweep};
use crate::partition::{Partition, PartitionFamily, PartitionKey};
use crate::store::{Store, Wake};
use crate::types::{ExecutionId, LaneId, TimestampMs};

/// A worker that waits looks again after this long even without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// It does not look more often than this for something that is due but was not to be had; and
/// each time in vain half as often, down to [`LOOK_AGAIN_LATER`].
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(5);

/// Seldomer than this it does not get.
const LOOK_AGAIN_LATER: Duration = Duration::from_secs(1);

pub(super) async fn claim<S: Store>(
    store: &S,
    lane: &LaneId,
    capabilities: &CapabilitySet,
    policy: ClaimPolicy,
) -> Result<Option<Handle>, EngineError> {
    let max_wait = policy.max_wait;
    let by = claimer(capabilities, policy)?;
    let request = ClaimRequest { lanes: vec![lane.clone()], by, max: 1, with_payload: false };
    let claimed = claim_waiting(store, request, max_wait).await?;
    Ok(claimed.first().map(present::handle::<S>))
}

pub(super) async fn renew<S: Store>(
    store: &S,
    handle: &Handle,
) -> Result<LeaseRenewal, EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    let (execution_id, ttl_ms) = (payload.execution_id, payload.lease_ttl_ms);
    store.execute(Renew { execution_id, fence, ttl_ms }).await
}

pub(super) async fn claim_from_resume_grant<S: Store>(
    store: &S,
    token: ResumeToken,
) -> Result<Option<Handle>, EngineError> {
    let command = ClaimFromResumeGrant { token };
    let claimed = store.execute(command).await?;
    Ok(claimed.as_ref().map(present::handle::<S>))
}

pub(super) async fn claim_resumed_execution<S: Store>(
    store: &S,
    args: ClaimResumedExecutionArgs,
) -> Result<ClaimResumedExecutionResult, EngineError> {
    let claimed = store.execute(ClaimResumedExecution { args }).await?;
    Ok(ClaimResumedExecutionResult::Claimed(present::claimed_resumed::<S>(&claimed)))
}

pub(super) async fn claim_execution<S: Store>(
    store: &S,
    args: ClaimExecutionArgs,
) -> Result<ClaimExecutionResult, EngineError> {
    let claimed = store.execute(ClaimExecution { args }).await?;
    Ok(ClaimExecutionResult::Claimed(present::claimed_execution::<S>(&claimed)))
}

pub(super) async fn renew_lease<S: Store>(
    store: &S,
    args: RenewLeaseArgs,
) -> Result<RenewLeaseResult, EngineError> {
    let fence = Fence::required(args.attempt_index, args.fence.as_ref())?;
    let (execution_id, ttl_ms) = (args.execution_id, args.lease_ttl_ms);
    let renewal = store.execute(Renew { execution_id, fence, ttl_ms }).await?;
    Ok(present::renewed(&renewal))
}

pub(super) async fn list_expired_leases<S: Store>(
    store: &S,
    args: ListExpiredLeasesArgs,
) -> Result<ListExpiredLeasesResult, EngineError> {
    let limit =
        args.limit.unwrap_or(LIST_EXPIRED_LEASES_DEFAULT_LIMIT).min(LIST_EXPIRED_LEASES_MAX_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut leases = store
        .read(move |reader| {
            let after = args.after.as_ref().map(|after| (after.expires_at_ms, &after.execution_id));
            reader.expired_leases(args.as_of, after, args.namespace.as_ref(), limit + 1)
        })
        .await?;
    let is_more = leases.len() > limit;
    leases.truncate(limit);
    let cursor = leases
        .last()
        .filter(|_| is_more)
        .map(|last| ExpiredLeasesCursor::new(last.expires_at, last.execution_id.clone()));
    let entries = leases.into_iter().map(present::expired_lease).collect();
    Ok(ListExpiredLeasesResult::new(entries, cursor))
}

pub(super) async fn revoke_lease<S: Store>(
    store: &S,
    args: RevokeLeaseArgs,
) -> Result<RevokeLeaseResult, EngineError> {
    let revoked = store
        .execute(Revoke {
            execution_id: args.execution_id,
            expected_lease_id: args.expected_lease_id,
            worker_instance_id: args.worker_instance_id,
            reason: args.reason,
        })
        .await?;
    Ok(match revoked {
        Revoked::Revoked { lease_id, epoch } => RevokeLeaseResult::Revoked {
            lease_id: lease_id.map(|id| id.to_string()).unwrap_or_default(),
            lease_epoch: epoch.to_string(),
        },
        Revoked::AlreadySatisfied { reason } => {
            RevokeLeaseResult::AlreadySatisfied { reason: reason.to_owned() }
        }
    })
}

pub(super) async fn issue_reclaim_grant<S: Store>(
    store: &S,
    args: IssueReclaimGrantArgs,
) -> Result<IssueReclaimGrantOutcome, EngineError> {
    let execution_id = args.execution_id.clone();
    Ok(match store.execute(IssueReclaimGrant { args }).await? {
        ReclaimGranted::Granted(grant) => IssueReclaimGrantOutcome::Granted(ReclaimGrant::new(
            execution_id.clone(),
            partition_key(&execution_id),
            grant.grant_id.to_string(),
            u64::try_from(grant.expires_at.0).unwrap_or(0),
            grant.lane,
        )),
        ReclaimGranted::NotReclaimable { detail } => {
            IssueReclaimGrantOutcome::NotReclaimable { execution_id, detail }
        }
        ReclaimGranted::CapExceeded { reclaim_count } => {
            IssueReclaimGrantOutcome::ReclaimCapExceeded { execution_id, reclaim_count }
        }
    })
}

pub(super) async fn reclaim_execution<S: Store>(
    store: &S,
    args: ReclaimExecutionArgs,
) -> Result<ReclaimExecutionOutcome, EngineError> {
    let execution_id = args.execution_id.clone();
    Ok(match store.execute(ReclaimExecution { args }).await? {
        Reclaimed::Claimed(claimed) => {
            ReclaimExecutionOutcome::Claimed(present::handle::<S>(&claimed))
        }
        Reclaimed::NotReclaimable { detail } => {
            ReclaimExecutionOutcome::NotReclaimable { execution_id, detail }
        }
        Reclaimed::CapExceeded { reclaim_count } => {
            ReclaimExecutionOutcome::ReclaimCapExceeded { execution_id, reclaim_count }
        }
        Reclaimed::GrantNotFound => ReclaimExecutionOutcome::GrantNotFound { execution_id },
    })
}

pub(super) async fn issue_grant_and_claim<S: Store>(
    store: &S,
    args: IssueGrantAndClaimArgs,
) -> Result<ClaimGrantOutcome, EngineError> {
    let claimed = store.execute(IssueGrantAndClaim { args }).await?;
    let held = present::claimed_execution::<S>(&claimed);
    Ok(ClaimGrantOutcome::new(held.lease_id, held.lease_epoch, held.attempt_index))
}

pub(super) async fn issue_claim_grant<S: Store>(
    store: &S,
    args: IssueClaimGrantArgs,
) -> Result<IssueClaimGrantOutcome, EngineError> {
    let execution_id = args.execution_id.clone();
    store.execute(IssueClaimGrant { args }).await?;
    Ok(IssueClaimGrantOutcome::Granted { execution_id })
}

pub(super) async fn claim_for_worker<S: Store>(
    store: &S,
    args: ClaimForWorkerArgs,
) -> Result<ClaimForWorkerOutcome, EngineError> {
    named(&args.worker_id, &args.worker_instance_id)?;
    let capabilities: Vec<String> = args.worker_capabilities.iter().cloned().collect();
    let request = ClaimRequest {
        lanes: vec![args.lane_id.clone()],
        by: Claimer {
            worker_id: args.worker_id.clone(),
            worker_instance_id: args.worker_instance_id.clone(),
            capabilities: tokens("worker", &capabilities)?,
            ttl: ttl(args.grant_ttl_ms)?,
        },
        max: 1,
        with_payload: false,
    };
    store.settle_due().await?;
    let mut after = None;
    loop {
        let (wanted, from): (_, Option<Candidate>) = (request.clone(), after.take());
        let now = store.now();
        let line =
            store.read(move |reader| drive::propose(reader, &wanted, from.as_ref(), now)).await?;
        if line.is_empty() {
            return Ok(ClaimForWorkerOutcome::no_work());
        }
        for candidate in &line {
            let execution_id = candidate.execution_id.clone();
            let grant = IssueClaimGrantArgs::new(
                execution_id.clone(),
                args.lane_id.clone(),
                args.worker_id.clone(),
                args.worker_instance_id.clone(),
                Partition { family: PartitionFamily::Flow, index: execution_id.partition() },
                args.worker_capabilities.clone(),
                args.grant_ttl_ms,
                store.now(),
            );
            match store.execute(IssueClaimGrant { args: grant }).await {
                Ok(grant) => {
                    return Ok(ClaimForWorkerOutcome::granted(ClaimGrant::new(
                        execution_id.clone(),
                        partition_key(&execution_id),
                        grant.grant_id.to_string(),
                        u64::try_from(grant.expires_at.0).unwrap_or(0),
                    )));
                }
                Err(
                    EngineError::State(StateKind::BudgetExceeded)
                    | EngineError::Contention(
                        ContentionKind::ConcurrencyLimitExceeded
                        | ContentionKind::RateLimitExceeded,
                    )
                    | EngineError::NotFound { entity: "budget" | "quota_policy" },
                ) => store.execute(Park { execution_id }).await?,
                Err(
                    EngineError::State(StateKind::GrantAlreadyExists)
                    | EngineError::Contention(_)
                    | EngineError::NotFound { .. }
                    | EngineError::Validation { kind: ValidationKind::Corruption, .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        after = line.into_iter().next_back();
    }
}

pub(super) async fn claim_batch<S: Store>(
    store: &S,
    lanes: &[LaneId],
    capabilities: &CapabilitySet,
    policy: ClaimPolicy,
    max: u32,
) -> Result<Vec<ClaimedWork>, EngineError> {
    if max == 0 || max > CLAIM_BATCH_MAX {
        return Err(invalid(format!("max is {max}; give 1 to {CLAIM_BATCH_MAX}")));
    }
    if lanes.is_empty() {
        return Err(invalid("no lane given; a claim serves at least one"));
    }
    let max_wait = policy.max_wait;
    let request = ClaimRequest {
        lanes: lanes.to_vec(),
        by: claimer(capabilities, policy)?,
        max: usize::try_from(max).unwrap_or(usize::MAX),
        with_payload: true,
    };
    let claimed = claim_waiting(store, request, max_wait).await?;
    Ok(claimed.into_iter().map(present::claimed_work::<S>).collect())
}

pub(super) async fn check_leases<S: Store>(
    store: &S,
    handles: &[Handle],
) -> Result<Vec<LeaseStanding>, EngineError> {
    if handles.len() > CHECK_LEASES_MAX {
        return Err(invalid(format!("{} handles; at most {CHECK_LEASES_MAX}", handles.len())));
    }
    let payloads: Vec<HandlePayload> = handles.iter().map(opened::<S>).collect::<Result<_, _>>()?;
    let now = store.now();
    store
        .read(move |reader| {
            payloads
                .iter()
                .map(|payload| {
                    let seen = reader.load(&Footprint::execution(&payload.execution_id))?;
                    Ok(standing(payload, &seen, now))
                })
                .collect()
        })
        .await
}

pub(super) async fn release_lease<S: Store>(store: &S, handle: &Handle) -> Result<(), EngineError> {
    let payload = opened::<S>(handle)?;
    let fence = Fence::of_handle(&payload);
    let execution_id = payload.execution_id;
    store.execute(Delay { execution_id, fence, until: None }).await
}

/// Claims now, or as soon as work comes into line within `max_wait`.
///
/// A worker that was woken reads first and takes the write lock only if it would find something.
/// The end of the wait bounds only the waiting: a claim in flight is never abandoned, because it
/// may have taken work that nobody would then attend to.
async fn claim_waiting<S: Store>(
    store: &S,
    request: ClaimRequest,
    max_wait: Option<Duration>,
) -> Result<Vec<Claimed>, EngineError> {
    let mut seen = store.generation(Wake::Work);
    let claimed = claim_now(store, &request).await?;
    let Some(max_wait) = max_wait.filter(|wait| claimed.is_empty() && !wait.is_zero()) else {
        return Ok(claimed);
    };
    let begun = tokio::time::Instant::now();
    let mut rest = LOOK_AGAIN_SOON;
    loop {
        let left = max_wait.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(Vec::new());
        }
        let lanes = request.lanes.clone();
        let due = store.read(move |reader| drive::next_work(reader, &lanes)).await?;
        let until_due =
            due.map_or(LOOK_AGAIN, |at| Duration::from_millis(policy::until(store.now(), at).0));
        let pause = until_due.clamp(rest, LOOK_AGAIN).min(left);
        store.wait(Wake::Work, seen, pause).await;
        if store.generation(Wake::Work) != seen {
            rest = LOOK_AGAIN_SOON;
        }
        seen = store.generation(Wake::Work);
        let (wanted, now) = (request.clone(), store.now());
        if store.read(move |reader| drive::has_work(reader, &wanted, now)).await? {
            let claimed = claim_now(store, &request).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            rest = (rest * 2).min(LOOK_AGAIN_LATER);
        }
    }
}

/// Claims in bounded steps, each a command of its own, until one finds something or nothing is
/// left to settle.
async fn claim_now<S: Store>(
    store: &S,
    request: &ClaimRequest,
) -> Result<Vec<Claimed>, EngineError> {
    loop {
        let step = store.claim(request.clone()).await?;
        if !step.claimed.is_empty() || !step.is_unfinished {
            return Ok(step.claimed);
        }
    }
}

/// Whether a handle still holds, with what is due already applied.
fn standing(payload: &HandlePayload, seen: &Snapshot, now: TimestampMs) -> LeaseStanding {
    let limits = Limits::default();
    let settled = sweep::settle(seen, &mut Context::new(now, 0, &limits)).map(|(_, rows)| rows);
    let seen = settled.as_ref().unwrap_or(seen);
    let public_state = seen.execution.as_ref().map(Execution::public_state);
    match Fence::of_handle(payload).check(seen, now) {
        Ok((_, attempt)) => LeaseStanding::Held {
            expires_at: attempt.lease_expires_at.unwrap_or(TimestampMs(i64::MAX)),
        },
        Err(error) => LeaseStanding::Lost { public_state, reason: error.to_string() },
    }
}

fn claimer(capabilities: &CapabilitySet, policy: ClaimPolicy) -> Result<Claimer, EngineError> {
    named(&policy.worker_id, &policy.worker_instance_id)?;
    Ok(Claimer {
        worker_id: policy.worker_id,
        worker_instance_id: policy.worker_instance_id,
        capabilities: tokens("worker", &capabilities.tokens)?,
        ttl: ttl(u64::from(policy.lease_ttl_ms))?,
    })
}

fn tokens(whose: &str, capabilities: &[String]) -> Result<Arc<BTreeSet<String>>, EngineError> {
    gate::key(whose, capabilities.iter().map(String::as_str))?;
    Ok(Arc::new(capabilities.iter().cloned().collect()))
}

fn partition_key(id: &ExecutionId) -> PartitionKey {
    PartitionKey::from(&Partition { family: PartitionFamily::Flow, index: id.partition() })
}
