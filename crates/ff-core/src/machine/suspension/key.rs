//! The keys that sign waitpoint tokens: seeding the first, rotating to the next.

use super::rows::{Secret, SigningKey};
use super::{Wanted, Write};
use crate::EngineError;
use crate::contracts::{RotateWaitpointHmacSecretOutcome, SeedOutcome};
use crate::engine_error::{ConflictKind, ValidationKind};
use crate::machine::limits::{IDENTIFIER_MAX_BYTES, ROTATION_GRACE_MAX_MS, SIGNING_KEYS_MAX};
use crate::machine::policy::later;
use crate::machine::{Change, Command, Context, Footprint, Snapshot, Transition};
use crate::types::{DurationMs, TimestampMs};

/// Digits of a secret.
const SECRET_HEX_DIGITS: usize = 64;

/// The key that signs: the newest active one.
pub fn current(keys: &[SigningKey]) -> Option<&SigningKey> {
    let active = keys.iter().filter(|key| key.active);
    active.max_by(|one, other| (one.rotated_at, &one.kid).cmp(&(other.rotated_at, &other.kid)))
}

/// The key that signs now; where there is none yet, `fresh` becomes it, with the write that
/// installs it.
pub(super) fn current_or_first(
    seen: &Snapshot,
    fresh: &Secret,
    cx: &mut Context<'_>,
) -> (SigningKey, Option<Change>) {
    if let Some(key) = current(&seen.suspension.keys) {
        return (key.clone(), None);
    }
    let key = SigningKey {
        kid: format!("auto-{}", cx.ids.uuid().simple()),
        secret: fresh.clone(),
        rotated_at: cx.now,
        active: true,
        expires_at: None,
    };
    let change = Change::Suspension(Write::PutKey(key.clone()));
    (key, Some(change))
}

/// Reads a kid and a secret in hexadecimal, or refuses them with `Validation(InvalidInput)`.
pub fn parse(kid: &str, secret_hex: &str) -> Result<Secret, EngineError> {
    if kid.is_empty() {
        return Err(invalid("kid must be non-empty"));
    }
    if kid.contains(':') {
        return Err(invalid("kid must not contain ':' (token wire shape is `<kid>:<hex>`)"));
    }
    if kid.len() > IDENTIFIER_MAX_BYTES {
        let length = kid.len();
        return Err(invalid(&format!("kid is {length} bytes; at most {IDENTIFIER_MAX_BYTES}")));
    }
    if secret_hex.len() != SECRET_HEX_DIGITS {
        return Err(invalid("secret_hex must be 64 hex characters (256-bit secret)"));
    }
    match hex::decode(secret_hex) {
        Ok(bytes) => Ok(Secret::new(bytes)),
        Err(_) => Err(invalid("secret_hex is not valid hex")),
    }
}

fn invalid(detail: &str) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail: detail.to_owned() }
}

fn keys() -> Footprint {
    Footprint { suspension: Wanted { keys: true, ..Wanted::default() }, ..Footprint::default() }
}

/// Installs the first key.
///
/// A kid that is there already is answered with whether its secret is the same; nothing is
/// written. While another key is active the call is refused with `Validation(InvalidInput)`: only
/// a rotation changes the key. Safe to repeat.
#[derive(Debug, Clone)]
pub struct SeedKey {
    /// Its name.
    pub kid: String,
    /// Its bytes.
    pub secret: Secret,
}

impl Command for SeedKey {
    const NAME: &'static str = "suspension.seed_key";
    type Outcome = SeedOutcome;

    fn footprint(&self) -> Footprint {
        keys()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<SeedOutcome>, EngineError> {
        let kid = self.kid.clone();
        let keys = &seen.suspension.keys;
        if let Some(known) = keys.iter().find(|key| key.kid == kid) {
            let same_secret = is_same(&known.secret, &self.secret);
            return Ok(Transition::unchanged(SeedOutcome::AlreadySeeded { kid, same_secret }));
        }
        if let Some(active) = current(keys) {
            return Err(invalid(&format!(
                "seed_waitpoint_hmac_secret: a different kid {:?} is already active; use \
                 rotate_waitpoint_hmac_secret_all to change kid",
                active.kid
            )));
        }
        let key = SigningKey {
            kid: kid.clone(),
            secret: self.secret.clone(),
            rotated_at: cx.now,
            active: true,
            expires_at: None,
        };
        Ok(Transition::unchanged(SeedOutcome::Seeded { kid })
            .change(Change::Suspension(Write::PutKey(key))))
    }
}

/// Makes a key current; tokens of the one before count for the grace, to the millisecond.
///
/// The current kid with its secret again is answered `Noop`. A kid whose tokens still count comes
/// back with the same secret; with another it is refused with `Conflict(RotationConflict)`. Keys
/// past their grace are dropped first. Safe to repeat.
#[derive(Debug, Clone)]
pub struct RotateKey {
    /// Its name.
    pub kid: String,
    /// Its bytes.
    pub secret: Secret,
    /// How long tokens of the former key count.
    pub grace: DurationMs,
}

impl Command for RotateKey {
    const NAME: &'static str = "suspension.rotate_key";
    type Outcome = RotateWaitpointHmacSecretOutcome;

    fn footprint(&self) -> Footprint {
        keys()
    }

    fn decide(
        &self,
        seen: &Snapshot,
        cx: &mut Context<'_>,
    ) -> Result<Transition<RotateWaitpointHmacSecretOutcome>, EngineError> {
        if self.grace.0 > ROTATION_GRACE_MAX_MS {
            return Err(EngineError::Validation {
                kind: ValidationKind::InvalidGraceMs,
                detail: format!("grace_ms is {}; at most {ROTATION_GRACE_MAX_MS}", self.grace.0),
            });
        }
        let (valid, over): (Vec<&SigningKey>, Vec<&SigningKey>) =
            seen.suspension.keys.iter().partition(|key| key.is_valid(cx.now));
        let former = current(&seen.suspension.keys);
        if let Some(known) = valid.iter().find(|key| key.kid == self.kid) {
            if !is_same(&known.secret, &self.secret) {
                return Err(EngineError::Conflict(ConflictKind::RotationConflict(format!(
                    "kid {} already installed with a different secret",
                    self.kid
                ))));
            }
            if former.is_some_and(|former| former.kid == self.kid) {
                let kid = self.kid.clone();
                let noop = RotateWaitpointHmacSecretOutcome::Noop { kid };
                return Ok(Transition::unchanged(noop));
            }
        } else if valid.len() >= SIGNING_KEYS_MAX {
            return Err(invalid(&format!(
                "the tokens of {} keys still count, which is the most; wait for the end of a \
                 grace, or give shorter ones",
                valid.len()
            )));
        }
        let mut transition = Transition::unchanged(RotateWaitpointHmacSecretOutcome::Rotated {
            previous_kid: former.map(|former| former.kid.clone()),
            new_kid: self.kid.clone(),
            gc_count: u32::try_from(over.len()).unwrap_or(u32::MAX),
        });
        for key in over {
            let kid = key.kid.clone();
            transition = transition.change(Change::Suspension(Write::DropKey { kid }));
        }
        let ends = later(cx.now, self.grace);
        for key in valid.into_iter().filter(|key| key.active && key.kid != self.kid) {
            let retired = SigningKey { active: false, expires_at: Some(ends), ..key.clone() };
            transition = transition.change(Change::Suspension(Write::PutKey(retired)));
        }
        let key = SigningKey {
            kid: self.kid.clone(),
            secret: self.secret.clone(),
            rotated_at: newest(&seen.suspension.keys, cx.now),
            active: true,
            expires_at: None,
        };
        Ok(transition.change(Change::Suspension(Write::PutKey(key))))
    }
}

/// The new key signs even if a tool wrote a later instant beside another one.
fn newest(keys: &[SigningKey], now: TimestampMs) -> TimestampMs {
    keys.iter().map(|key| key.rotated_at).fold(now, TimestampMs::max)
}

/// Compares in constant time.
fn is_same(one: &Secret, other: &Secret) -> bool {
    use subtle::ConstantTimeEq;
    one.bytes().ct_eq(other.bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, decide, now_plus, refusal};
    use crate::machine::suspension::testing::{key, secret};

    fn seen(keys: &[SigningKey]) -> Snapshot {
        let mut seen = Snapshot::default();
        seen.suspension.keys = keys.to_vec();
        seen
    }

    fn seed(kid: &str, byte: u8) -> SeedKey {
        SeedKey { kid: kid.to_owned(), secret: secret(byte) }
    }

    fn rotate(kid: &str, byte: u8, grace: u64) -> RotateKey {
        RotateKey { kid: kid.to_owned(), secret: secret(byte), grace: DurationMs(grace) }
    }

    fn retired(kid: &str, expires_at: Option<TimestampMs>) -> SigningKey {
        SigningKey { active: false, expires_at, ..key(kid) }
    }

    fn after(rows: &[SigningKey], command: &RotateKey) -> Vec<SigningKey> {
        let mut seen = seen(rows);
        let done = decide(command, &seen).unwrap();
        seen.apply(&done.changes);
        seen.suspension.keys.sort_by(|one, other| one.kid.cmp(&other.kid));
        seen.suspension.keys
    }

    #[test]
    fn a_kid_and_a_secret_have_their_form() {
        let good = "ab".repeat(32);
        assert_eq!(parse("k1", &good).unwrap().bytes(), [0xab; 32]);
        for (kid, secret, detail) in [
            ("", good.as_str(), "kid must be non-empty"),
            ("a:b", &good, "kid must not contain ':' (token wire shape is `<kid>:<hex>`)"),
            ("k", "ab", "secret_hex must be 64 hex characters (256-bit secret)"),
            ("k", &"zz".repeat(32), "secret_hex is not valid hex"),
            (&"k".repeat(257), &good, "kid is 257 bytes; at most 256"),
        ] {
            let told = refusal(parse(kid, secret));
            assert_eq!(told, format!("validation: InvalidInput: {detail}"));
        }
    }

    #[test]
    fn the_first_key_is_seeded_once() {
        let done = decide(&seed("k1", 1), &seen(&[])).unwrap();
        assert_eq!(done.outcome, SeedOutcome::Seeded { kid: "k1".to_owned() });
        let [Write::PutKey(stored)] = done.writes()[..] else { panic!("one key") };
        assert!(stored.active && stored.rotated_at == NOW);

        for (byte, same_secret) in [(1, true), (2, false)] {
            let done = decide(&seed("k1", byte), &seen(&[key("k1")])).unwrap();
            let kid = "k1".to_owned();
            assert_eq!(done.outcome, SeedOutcome::AlreadySeeded { kid, same_secret });
            assert!(done.is_unchanged());
        }
        let told = refusal(decide(&seed("k2", 1), &seen(&[key("k1")])));
        assert!(told.contains("a different kid \"k1\" is already active"), "{told}");
        assert!(decide(&seed("k2", 1), &seen(&[retired("k1", None)])).is_ok());
    }

    #[test]
    fn a_rotation_gives_the_former_key_its_grace() {
        let done = decide(&rotate("k2", 2, 500), &seen(&[key("k1")])).unwrap();
        let rotated = RotateWaitpointHmacSecretOutcome::Rotated {
            previous_kid: Some("k1".to_owned()),
            new_kid: "k2".to_owned(),
            gc_count: 0,
        };
        assert_eq!(done.outcome, rotated);

        let keys = after(&[key("k1")], &rotate("k2", 2, 500));
        assert_eq!(keys[0], retired("k1", Some(now_plus(500))));
        assert!(keys[0].is_valid(now_plus(499)) && !keys[0].is_valid(now_plus(500)));
        assert_eq!(current(&keys).unwrap().kid, "k2");
        let keys = after(&[key("k1")], &rotate("k2", 2, 0));
        assert!(!keys[0].is_valid(NOW));
    }

    #[test]
    fn the_current_key_again_changes_nothing() {
        let done = decide(&rotate("k1", 1, 5), &seen(&[key("k1")])).unwrap();
        assert_eq!(done.outcome, RotateWaitpointHmacSecretOutcome::Noop { kid: "k1".to_owned() });
        assert!(done.is_unchanged());
        let told = refusal(decide(&rotate("k1", 2, 5), &seen(&[key("k1")])));
        assert!(told.contains("kid k1 already installed with a different secret"), "{told}");
    }

    #[test]
    fn an_old_key_in_its_grace_comes_back_and_one_past_it_is_new() {
        let rows = [key("k1"), retired("k0", Some(now_plus(1)))];
        let keys = after(&rows, &rotate("k0", 1, 5));
        assert_eq!(current(&keys).unwrap().kid, "k0");
        assert_eq!(keys[0].expires_at, None);
        assert_eq!(keys[1], retired("k1", Some(now_plus(5))));
        assert!(decide(&rotate("k0", 2, 5), &seen(&rows)).is_err());

        let rows = [key("k1"), retired("k0", Some(NOW)), retired("hand", None)];
        let done = decide(&rotate("k0", 2, 5), &seen(&rows)).unwrap();
        let RotateWaitpointHmacSecretOutcome::Rotated { gc_count, .. } = done.outcome else {
            panic!("rotated")
        };
        assert_eq!(gc_count, 2);
        let kids: Vec<String> =
            after(&rows, &rotate("k0", 2, 5)).into_iter().map(|key| key.kid).collect();
        assert_eq!(kids, ["k0", "k1"]);
    }

    #[test]
    fn keys_and_graces_are_bounded() {
        let mut rows: Vec<SigningKey> = (1..SIGNING_KEYS_MAX)
            .map(|number| retired(&format!("o{number}"), Some(now_plus(1))))
            .collect();
        assert!(decide(&rotate("k", 2, 5), &seen(&rows)).is_ok());
        rows.push(key("k1"));
        assert!(decide(&rotate("k", 2, 5), &seen(&rows)).is_err());
        assert!(decide(&rotate("o1", 1, 5), &seen(&rows)).is_ok());

        let told = refusal(decide(&rotate("k", 2, ROTATION_GRACE_MAX_MS + 1), &seen(&[])));
        assert!(told.starts_with("validation: InvalidGraceMs"), "{told}");
        assert!(decide(&rotate("k", 2, ROTATION_GRACE_MAX_MS), &seen(&[])).is_ok());
    }

    #[test]
    fn the_newest_active_key_signs() {
        let older = key("z");
        let newer = SigningKey { rotated_at: NOW, ..key("a") };
        assert_eq!(current(&[older.clone(), newer.clone()]).unwrap().kid, "a");
        let keys = after(&[older, newer], &rotate("m", 2, 5));
        assert_eq!(current(&keys).unwrap().kid, "m");
    }
}
