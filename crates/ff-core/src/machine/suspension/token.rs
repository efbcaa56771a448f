//! Waitpoint tokens: who shows one may signal exactly that waitpoint.
//!
//! A token is `<kid>:<64 hex digits>`: HMAC-SHA-256 over the key id, the execution, the waitpoint,
//! its key and the instant of its creation, each with its length in front, so that no two
//! different subjects give the same bytes. Expiry lies in the rows, not in the token.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::rows::{SigningKey, Waitpoint};
use crate::EngineError;
use crate::backend::WaitpointHmac;
use crate::engine_error::ValidationKind;
use crate::types::{ExecutionId, TimestampMs, WaitpointId, WaitpointToken};

/// Hexadecimal digits of a digest.
const HEX_DIGITS: usize = 64;

/// Digits of a digest that anyone may see.
const FINGERPRINT_DIGITS: usize = 16;

/// Mints the token of a waitpoint.
pub fn mint(
    key: &SigningKey,
    execution: &ExecutionId,
    waitpoint: &WaitpointId,
    waitpoint_key: &str,
    created_at: TimestampMs,
) -> WaitpointHmac {
    let digest = keyed(key, execution, waitpoint, waitpoint_key, created_at).finalize();
    WaitpointHmac::new(format!("{}:{}", key.kid, hex::encode(digest.into_bytes())))
}

/// Accepts a token that was minted for exactly this waitpoint under a key that counts at `now`;
/// anything else is `Validation(InvalidToken)`. The digests are compared in constant time.
pub fn verify(
    keys: &[SigningKey],
    waitpoint: &Waitpoint,
    shown: &WaitpointToken,
    now: TimestampMs,
) -> Result<(), EngineError> {
    if shown.as_str().is_empty() {
        return Err(refused("missing_token"));
    }
    let (kid, digits) = shown.as_str().split_once(':').ok_or_else(|| refused("invalid_token"))?;
    let is_canonical = digits.len() == HEX_DIGITS
        && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if kid != waitpoint.kid || !is_canonical {
        return Err(refused("invalid_token"));
    }
    let key = keys.iter().find(|key| key.kid == kid).ok_or_else(|| refused("invalid_token"))?;
    let digest = hex::decode(digits).map_err(|_| refused("invalid_token"))?;
    keyed(key, &waitpoint.execution_id, &waitpoint.id, &waitpoint.key, waitpoint.created_at)
        .verify_slice(&digest)
        .map_err(|_| refused("invalid_token"))?;
    if key.is_valid(now) { Ok(()) } else { Err(refused("token_expired")) }
}

/// The part of a token's digest that anyone may see.
pub fn fingerprint(token: &WaitpointHmac) -> String {
    let digits = token.as_str().split_once(':').map_or("", |(_, digits)| digits);
    digits.chars().take(FINGERPRINT_DIGITS).collect()
}

/// The refusal of whoever shows no proof. It does not tell whether the waitpoint exists.
pub fn refused(detail: &str) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidToken, detail: detail.to_owned() }
}

fn keyed(
    key: &SigningKey,
    execution: &ExecutionId,
    waitpoint: &WaitpointId,
    waitpoint_key: &str,
    created_at: TimestampMs,
) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.secret.bytes()).expect("HMAC takes keys of any length");
    let fields: [&[u8]; 5] = [
        key.kid.as_bytes(),
        execution.as_str().as_bytes(),
        waitpoint.as_bytes(),
        waitpoint_key.as_bytes(),
        &created_at.0.to_be_bytes(),
    ];
    for field in fields {
        mac.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(field);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::execution::testing::{NOW, execution, now_plus, refusal};
    use crate::machine::suspension::testing::{key, pending, secret};
    use crate::types::WaitpointToken;

    fn minted(key: &SigningKey, waitpoint: &Waitpoint) -> WaitpointToken {
        mint(key, &waitpoint.execution_id, &waitpoint.id, &waitpoint.key, waitpoint.created_at)
            .token()
            .clone()
    }

    fn told(keys: &[SigningKey], waitpoint: &Waitpoint, token: &str) -> String {
        refusal(verify(keys, waitpoint, &WaitpointToken::new(token), NOW))
    }

    #[test]
    fn a_token_has_its_exact_form() {
        let waitpoint = pending("key");

        let token = minted(&key("k1"), &waitpoint);

        let (kid, digits) = token.as_str().split_once(':').unwrap();
        assert_eq!((kid, digits.len()), ("k1", 64));
        assert_eq!(minted(&key("k1"), &waitpoint), token);
        let shown = format!("{:?} {:?}", WaitpointHmac::new(token.as_str()), key("k1"));
        assert!(!shown.contains(digits) && shown.contains("Secret(<REDACTED:len=32>)"), "{shown}");
        assert_eq!(fingerprint(&WaitpointHmac::new(token.as_str())), digits[..16]);
    }

    #[test]
    fn a_token_counts_for_exactly_its_waitpoint() {
        let ours = pending("key");
        let keys = [key("k1")];
        let token = minted(&keys[0], &ours);
        assert_eq!(told(&keys, &ours, token.as_str()), "accepted");

        let other_execution = ExecutionId::from_parts(1, execution().id.uuid());
        for other in [
            Waitpoint { execution_id: other_execution, ..ours.clone() },
            Waitpoint { id: WaitpointId::from_uuid(uuid::Uuid::from_u128(99)), ..ours.clone() },
            Waitpoint { key: "other".to_owned(), ..ours.clone() },
            Waitpoint { created_at: now_plus(-1), ..ours.clone() },
            Waitpoint { kid: "k2".to_owned(), ..ours },
        ] {
            let told = told(&keys, &other, token.as_str());
            assert_eq!(told, "validation: InvalidToken: invalid_token");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_by_its_kind() {
        let ours = pending("key");
        let keys = [key("k1")];
        let token = minted(&keys[0], &ours);
        let digits = &token.as_str()[3..];
        let flipped = if digits.starts_with('0') { "1" } else { "0" };
        for (text, detail) in [
            (String::new(), "missing_token"),
            (digits.to_owned(), "invalid_token"),
            (format!(":{digits}"), "invalid_token"),
            ("k1:".to_owned(), "invalid_token"),
            (format!("k1:{}", &digits[1..]), "invalid_token"),
            (format!("k1:{flipped}{}", &digits[1..]), "invalid_token"),
            (format!("k1:{}", digits.to_uppercase()), "invalid_token"),
            (format!("k2:{digits}"), "invalid_token"),
        ] {
            assert_eq!(told(&keys, &ours, &text), format!("validation: InvalidToken: {detail}"));
        }
    }

    #[test]
    fn a_key_that_was_rotated_out_counts_until_its_grace_ends_exactly() {
        let ours = pending("key");
        let token = minted(&key("k1"), &ours);
        let old = |expires_at| SigningKey { active: false, expires_at, ..key("k1") };

        let refused = "validation: InvalidToken: token_expired";
        assert_eq!(told(&[old(Some(now_plus(1)))], &ours, token.as_str()), "accepted");
        assert_eq!(told(&[old(Some(NOW))], &ours, token.as_str()), refused);
        assert_eq!(told(&[old(None)], &ours, token.as_str()), refused);
        let unknown = "validation: InvalidToken: invalid_token";
        assert_eq!(told(&[], &ours, token.as_str()), unknown);
        let other_secret = SigningKey { secret: secret(2), ..key("k1") };
        assert_eq!(told(&[other_secret], &ours, token.as_str()), unknown);
    }
}
