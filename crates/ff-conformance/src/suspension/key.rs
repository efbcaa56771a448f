//! Signing keys: seeding, rotating, and a grace that ends.

use ff_core::EngineError;
use ff_core::contracts::{
    RotateWaitpointHmacSecretAllArgs, RotateWaitpointHmacSecretOutcome, SeedOutcome,
    SeedWaitpointHmacSecretArgs,
};
use ff_core::engine_error::{ConflictKind, ValidationKind};

use super::{delivered, park, parked, plain, to};
use crate::harness::{Bench, Refusal};

fn secret(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

async fn seed(bench: &Bench, kid: &str, byte: u8) -> Result<SeedOutcome, EngineError> {
    let args = SeedWaitpointHmacSecretArgs::new(kid, secret(byte));
    bench.engine.seed_waitpoint_hmac_secret(args).await
}

async fn rotate(
    bench: &Bench,
    kid: &str,
    byte: u8,
    grace: u64,
) -> Result<RotateWaitpointHmacSecretOutcome, EngineError> {
    let args = RotateWaitpointHmacSecretAllArgs::new(kid, secret(byte), grace);
    let mut told = bench.engine.rotate_waitpoint_hmac_secret_all(args).await?;
    assert_eq!(told.entries.len(), 1);
    told.entries.remove(0).result
}

pub async fn the_first_wait_seeds_a_key_by_itself(bench: &Bench) {
    let (_, details) = parked(bench).await;

    let kid = details.waitpoint_token.as_str().split_once(':').unwrap().0;
    assert!(kid.starts_with("auto-"), "{kid}");
    let (_, second) = parked(bench).await;
    assert!(second.waitpoint_token.as_str().starts_with(kid), "one key for all");
}

pub async fn a_seeded_key_signs(bench: &Bench) {
    let seeded = SeedOutcome::Seeded { kid: "k1".to_owned() };
    assert_eq!(seed(bench, "k1", 1).await.unwrap(), seeded);
    for (byte, same_secret) in [(1, true), (2, false)] {
        let kid = "k1".to_owned();
        let again = SeedOutcome::AlreadySeeded { kid, same_secret };
        assert_eq!(seed(bench, "k1", byte).await.unwrap(), again);
    }
    assert!(seed(bench, "k2", 1).await.must_be_invalid().contains("\"k1\" is already active"));
    let (_, details) = parked(bench).await;
    assert!(details.waitpoint_token.as_str().starts_with("k1:"));
}

pub async fn a_rotated_out_key_counts_until_its_grace_ends_exactly(bench: &Bench) {
    seed(bench, "k1", 1).await.unwrap();
    let (held, details) = parked(bench).await;
    let (other, before) = parked(bench).await;

    let rotated = rotate(bench, "k2", 2, 1_000).await.unwrap();

    assert_eq!(
        rotated,
        RotateWaitpointHmacSecretOutcome::Rotated {
            previous_kid: Some("k1".to_owned()),
            new_kid: "k2".to_owned(),
            gc_count: 0,
        }
    );
    let (_, after) = parked(bench).await;
    assert!(after.waitpoint_token.as_str().starts_with("k2:"));
    bench.advance(999);
    delivered(bench, to(bench, held.execution(), &details)).await.unwrap();
    bench.advance(1);
    let late = bench.unchanged_by(delivered(bench, to(bench, other.execution(), &before))).await;
    assert_eq!(late.must_be_validation(&ValidationKind::InvalidToken), "token_expired");
}

pub async fn rotating_to_the_current_key_is_nothing_and_to_an_old_one_brings_it_back(
    bench: &Bench,
) {
    seed(bench, "k1", 1).await.unwrap();
    let noop = RotateWaitpointHmacSecretOutcome::Noop { kid: "k1".to_owned() };
    assert_eq!(rotate(bench, "k1", 1, 5).await.unwrap(), noop);
    let conflict = rotate(bench, "k1", 9, 5).await;
    let detail = "kid k1 already installed with a different secret".to_owned();
    conflict.must_be_conflict(&ConflictKind::RotationConflict(detail));

    rotate(bench, "k2", 2, 10_000).await.unwrap();
    rotate(bench, "k1", 1, 10_000).await.unwrap();

    let (_, details) = parked(bench).await;
    assert!(details.waitpoint_token.as_str().starts_with("k1:"));
    bench.advance(10_000);
    let RotateWaitpointHmacSecretOutcome::Rotated { gc_count, .. } =
        rotate(bench, "k3", 3, 5).await.unwrap()
    else {
        panic!("rotated")
    };
    assert_eq!(gc_count, 1, "k2 is past its grace");
}

pub async fn malformed_keys_are_refused_as_a_whole(bench: &Bench) {
    for (kid, digits) in
        [("", secret(1)), ("a:b", secret(1)), ("k", "ab".to_owned()), ("k", "zz".repeat(32))]
    {
        let args = SeedWaitpointHmacSecretArgs::new(kid, digits.clone());
        bench.engine.seed_waitpoint_hmac_secret(args).await.must_be_invalid();
        let args = RotateWaitpointHmacSecretAllArgs::new(kid, digits, 5);
        assert!(bench.engine.rotate_waitpoint_hmac_secret_all(args).await.is_err());
    }
    let args = RotateWaitpointHmacSecretAllArgs::new("k", secret(1), 1 << 53);
    let refused = bench.engine.rotate_waitpoint_hmac_secret_all(args).await;
    let Err(EngineError::Validation { kind, .. }) = refused else { panic!("refused") };
    assert_eq!(kind, ValidationKind::InvalidGraceMs);
}

pub async fn two_suspensions_have_tokens_of_their_own(bench: &Bench) {
    let held = bench.claimed().await;
    let (one, _) = park(bench, &held, plain(bench)).await;
    delivered(bench, to(bench, held.execution(), &one)).await.unwrap();
    let again = bench.claim().await;
    let (other, _) = park(bench, &again, plain(bench)).await;

    assert_ne!(one.waitpoint_token, other.waitpoint_token);
    let mut crossed = to(bench, held.execution(), &other);
    crossed.waitpoint_token = one.waitpoint_token.token().clone();
    let refused = delivered(bench, crossed).await;
    refused.must_be_validation(&ValidationKind::InvalidToken);
}
