//! Waitpoint tokens: `<kid>:<hex>`, where the hex is HMAC-SHA256 over `<kid>:<message>`.
//!
//! The key id is part of what is signed, so a token cannot be moved to another key.
#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

const HEX_DIGITS: usize = 64;

/// Signs a message: the same secret, key id and message give the same token.
///
/// ```
/// use ff_core::crypto::hmac::{hmac_sign, hmac_verify};
///
/// let token = hmac_sign(b"secret", "k1", b"message");
/// assert!(token.starts_with("k1:"));
/// assert!(hmac_verify(b"secret", "k1", b"message", &token).is_ok());
/// ```
#[must_use]
pub fn hmac_sign(secret: &[u8], kid: &str, message: &[u8]) -> String {
    let digest = keyed(secret, kid, message).finalize().into_bytes();
    format!("{kid}:{}", hex::encode(digest))
}

/// Checks a token in constant time; anything that [`hmac_sign`] would not have written is refused.
pub fn hmac_verify(
    secret: &[u8],
    kid: &str,
    message: &[u8],
    token: &str,
) -> Result<(), HmacVerifyError> {
    let (actual, digits) = token.split_once(':').ok_or(HmacVerifyError::Malformed)?;
    let canonical = digits.len() == HEX_DIGITS
        && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if actual.is_empty() || !canonical {
        return Err(HmacVerifyError::Malformed);
    }
    if actual != kid {
        return Err(HmacVerifyError::WrongKid {
            expected: kid.to_owned(),
            actual: actual.to_owned(),
        });
    }
    let signature = hex::decode(digits).map_err(|_| HmacVerifyError::Malformed)?;
    keyed(secret, kid, message)
        .verify_slice(&signature)
        .map_err(|_| HmacVerifyError::SignatureMismatch)
}

fn keyed(secret: &[u8], kid: &str, message: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret)
        .expect("HMAC takes keys of any length")
        .chain_update(kid)
        .chain_update(":")
        .chain_update(message)
}

/// Why a token is refused; never shows the token.
#[derive(Debug, Error)]
pub enum HmacVerifyError {
    #[error("token is not of the form <kid>:<64 hex digits>")]
    Malformed,
    #[error("token is signed with key {actual:?}, expected {expected:?}")]
    WrongKid { expected: String, actual: String },
    #[error("token signature does not match")]
    SignatureMismatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn verify(token: &str) -> Result<(), HmacVerifyError> {
        hmac_verify(SECRET, "k1", b"{fp:0}:a:b", token)
    }

    #[test]
    fn the_signature_is_hmac_sha256_over_kid_colon_message() {
        // Computed with another implementation.
        assert_eq!(
            hmac_sign(b"Jefe", "k1", b"what do ya want for nothing?"),
            "k1:9d302f9786299c858dd1db5058e837d2c5364bfeddc406057b3e798ee3f09182"
        );
    }

    #[test]
    fn a_signed_message_verifies() {
        let token = hmac_sign(SECRET, "k1", b"{fp:0}:a:b");
        assert_eq!(token.len(), "k1:".len() + 64);
        assert!(verify(&token).is_ok());
        assert!(hmac_verify(b"", "", b"", &hmac_sign(b"", "", b"")).is_err());
    }

    #[test]
    fn another_secret_message_or_digit_is_a_mismatch() {
        let token = hmac_sign(SECRET, "k1", b"{fp:0}:a:b");
        let other = hmac_sign(b"other", "k1", b"{fp:0}:a:b");
        assert!(matches!(verify(&other), Err(HmacVerifyError::SignatureMismatch)));
        let other = hmac_sign(SECRET, "k1", b"{fp:0}:a:c");
        assert!(matches!(verify(&other), Err(HmacVerifyError::SignatureMismatch)));
        for index in 3..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(matches!(verify(&changed), Err(HmacVerifyError::SignatureMismatch)));
        }
    }

    #[test]
    fn a_token_cannot_be_moved_to_another_key_id() {
        let token = hmac_sign(SECRET, "k2", b"{fp:0}:a:b");
        let Err(HmacVerifyError::WrongKid { expected, actual }) = verify(&token) else {
            panic!("expected a wrong key id");
        };
        assert_eq!((expected.as_str(), actual.as_str()), ("k1", "k2"));
        let renamed = token.replacen("k2", "k1", 1);
        assert!(matches!(verify(&renamed), Err(HmacVerifyError::SignatureMismatch)));
    }

    #[test]
    fn every_other_shape_is_malformed() {
        let token = hmac_sign(SECRET, "k1", b"{fp:0}:a:b");
        let digits = &token["k1:".len()..];
        for refused in [
            String::new(),
            digits.to_owned(),
            format!(":{digits}"),
            "k1:".to_owned(),
            format!("k1:{}", &digits[1..]),
            format!("{token}0"),
            format!("k1:{}", "G".repeat(64)),
            format!("k1:{}", "A".repeat(64)),
            format!("k1:é{}", &digits[2..]),
            format!("k1:x:{digits}"),
        ] {
            assert!(matches!(verify(&refused), Err(HmacVerifyError::Malformed)), "{refused}");
        }
    }
}
