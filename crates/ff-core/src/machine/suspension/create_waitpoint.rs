//! Making a waitpoint ahead of its suspension.

use super::rows::{Secret, Waitpoint, WaitpointState};
use super::{Wanted, Write, key, token};
use crate::EngineError;
use crate::backend::WaitpointHmac;
use crate::engine_error::ValidationKind;
use crate::machine::limits::{DELAY_MAX_MS, IDENTIFIER_MAX_BYTES, OPEN_WAITPOINTS_MAX};
use crate::machine::policy::later;
use crate::machine::{Change, Command, Context, Fence, Footprint, Snapshot, Transition};
use crate::types::{DurationMs, ExecutionId, WaitpointId};

/// Makes a pending waitpoint of the running attempt. Signals may come before the suspension that
/// adopts it; they wait with it.
///
/// Refused as every write of a worker is, when it does not hold the lease; with
/// `Validation(InvalidWaitpointKey)` for a key over 256 bytes, `Validation(InvalidInput)` for an
/// end that is not ahead or over ten years ahead, and `ResourceExhausted` while the execution has
/// [`OPEN_WAITPOINTS_MAX`] open ones. A repeat makes another waitpoint.
#[derive(Debug, Clone)]
pub struct CreateWaitpoint {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The caller's proof of ownership.
    pub fence: Fence,
    /// What conditions call it.
    pub key: String,
    /// How long it stays pending.
    pub expires_in: DurationMs,
    /// Becomes the signing key where there is none.
    pub fresh_secret: Secret,
}

/// A waitpoint that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedWaitpoint {
    /// Its id.
    pub id: WaitpointId,
    /// What addresses it.
    pub token: WaitpointHmac,
}

impl Command for CreateWaitpoint {
    const NAME: &'static str = "suspension.create_waitpoint";
    type Outcome = CreatedWaitpoint;

    fn footprint(&self) -> Footprint {
        let mut footprint =
            Footprint::execution(&self.execution_id).with_attempt(self.fence.index());
        footprint.suspension = Wanted { keys: true, open: true, ..Wanted::default() };
        footprint
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<CreatedWaitpoint>, EngineError> {
        check_key(&self.key)?;
        if self.expires_in.0 == 0 || self.expires_in.0 > DELAY_MAX_MS {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidInput,
                detail: format!("expires_in is {} ms; give 1 to {DELAY_MAX_MS}", self.expires_in.0),
            });
        }
        let (execution, attempt) = self.fence.check(seen, cx.now)?;
        room_for(seen, 1)?;

        let (signing, installed) = key::current_or_first(seen, &self.fresh_secret, cx);
        let id = WaitpointId::from_uuid(cx.ids.uuid());
        let token = token::mint(&signing, &execution.id, &id, &self.key, cx.now);
        let waitpoint = Waitpoint {
            id: id.clone(),
            execution_id: execution.id.clone(),
            attempt_index: Some(attempt.index),
            suspension_id: None,
            key: self.key.clone(),
            kid: signing.kid,
            token: token.clone(),
            created_at: cx.now,
            activated_at: None,
            expires_at: Some(later(cx.now, self.expires_in)),
            required_signal_names: Vec::new(),
            state: WaitpointState::Pending,
            closed: None,
        };
        let mut transition = Transition::unchanged(CreatedWaitpoint { id, token });
        transition.changes.extend(installed);
        Ok(transition.change(Change::Suspension(Write::PutWaitpoint(Box::new(waitpoint)))))
    }
}

/// Refuses a waitpoint key that is too long.
pub(super) fn check_key(key: &str) -> Result<(), EngineError> {
    if key.len() <= IDENTIFIER_MAX_BYTES {
        return Ok(());
    }
    Err(EngineError::Validation {
        kind: ValidationKind::InvalidWaitpointKey,
        detail: format!("a waitpoint key is {} bytes; at most {IDENTIFIER_MAX_BYTES}", key.len()),
    })
}

/// Refuses more open waitpoints than one execution may have.
pub(super) fn room_for(seen: &Snapshot, more: usize) -> Result<(), EngineError> {
    let open = seen.suspension.waitpoints.iter().filter(|waitpoint| {
        waitpoint.state != WaitpointState::Closed
            && seen.execution.as_ref().is_some_and(|row| row.id == waitpoint.execution_id)
    });
    if open.count() + more <= OPEN_WAITPOINTS_MAX {
        return Ok(());
    }
    Err(EngineError::ResourceExhausted {
        pool: "open waitpoints of one execution",
        max: u32::try_from(OPEN_WAITPOINTS_MAX).unwrap_or(u32::MAX),
        retry_after_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{
        LEASE_END, NOW, decide, handle_of, interrupted, now_plus, refusal, running, seen,
        seen_pair, stale_handle,
    };
    use crate::machine::suspension::SigningKey;
    use crate::machine::suspension::testing::{key, pending, secret, waitpoint_id};

    fn create(adjust: impl FnOnce(&mut CreateWaitpoint)) -> CreateWaitpoint {
        let (row, attempt) = running(LEASE_END);
        let mut command = CreateWaitpoint {
            execution_id: row.id,
            fence: handle_of(&attempt),
            key: "approval".to_owned(),
            expires_in: DurationMs(1_000),
            fresh_secret: secret(7),
        };
        adjust(&mut command);
        command
    }

    fn told(adjust: impl FnOnce(&mut CreateWaitpoint), seen: &Snapshot) -> String {
        refusal(decide(&create(adjust), seen))
    }

    #[test]
    fn a_waitpoint_is_pending_until_its_end_under_its_token() {
        let mut seen = seen_pair(running(LEASE_END));
        seen.suspension.keys = vec![key("k1")];

        let done = decide(&create(|_| {}), &seen).unwrap();

        let [Write::PutWaitpoint(stored)] = done.writes()[..] else { panic!("one waitpoint") };
        assert_eq!((stored.state, stored.kid.as_str()), (WaitpointState::Pending, "k1"));
        assert_eq!(stored.expires_at, Some(now_plus(1_000)));
        assert_eq!(stored.created_at, NOW);
        assert_eq!((&stored.id, &stored.token), (&done.outcome.id, &done.outcome.token));
        assert!(token::verify(&[key("k1")], stored, stored.token.token(), NOW).is_ok());
        assert!(done.events.is_empty());
    }

    #[test]
    fn the_first_waitpoint_installs_the_first_key() {
        let seen = seen_pair(running(LEASE_END));

        let done = decide(&create(|_| {}), &seen).unwrap();

        let [Write::PutKey(installed), Write::PutWaitpoint(stored)] = done.writes()[..] else {
            panic!("a key and a waitpoint")
        };
        assert_eq!((&installed.secret, installed.active), (&secret(7), true));
        assert_eq!((stored.kid.as_str(), installed.expires_at), (installed.kid.as_str(), None));

        let mut seen = seen;
        seen.suspension.keys = vec![SigningKey { active: false, ..key("old") }];
        let done = decide(&create(|_| {}), &seen).unwrap();
        assert!(matches!(done.writes()[0], Write::PutKey(_)));
    }

    #[test]
    fn only_the_live_lease_may() {
        let (row, attempt) = running(LEASE_END);
        let stale = stale_handle();
        let lost = "contention: LeaseConflict";
        assert_eq!(told(|command| command.fence = stale, &seen(row, attempt)), lost);
        let parked = told(|_| {}, &seen_pair(interrupted()));
        assert!(parked.starts_with("contention: ExecutionNotActive"), "{parked}");
        assert_eq!(told(|_| {}, &Snapshot::default()), "not found: execution");
    }

    #[test]
    fn keys_ends_and_numbers_are_bounded() {
        let seen = seen_pair(running(LEASE_END));
        let long = told(|command| command.key = "k".repeat(257), &seen);
        assert!(long.starts_with("validation: InvalidWaitpointKey"), "{long}");
        for ms in [0, DELAY_MAX_MS + 1] {
            let told = told(|command| command.expires_in = DurationMs(ms), &seen);
            assert!(told.starts_with("validation: InvalidInput"), "{told}");
        }

        let mut full = seen;
        full.suspension.waitpoints = (1..OPEN_WAITPOINTS_MAX)
            .map(|number| Waitpoint { id: waitpoint_id(number as u128), ..pending("k") })
            .collect();
        assert_eq!(told(|_| {}, &full), "accepted");
        full.suspension.waitpoints.push(pending("k"));
        assert!(decide(&create(|_| {}), &full).is_err());
        let closed = Waitpoint { state: WaitpointState::Closed, ..pending("k") };
        *full.suspension.waitpoints.last_mut().unwrap() = closed;
        assert_eq!(told(|_| {}, &full), "accepted");
    }
}
