//! Ids drawn inside a decision, reproducible from a seed.

use uuid::Uuid;

use crate::types::{AttemptId, LeaseId, TimestampMs};

/// The seed of a store's `number`th write, counted from 0.
///
/// Every command, batch, claim and sweep counts once, refused or not, so that two stores opened
/// with one seed and asked the same draw the same ids.
pub const fn seed_of_write(store_seed: u64, number: u64) -> u64 {
    store_seed.wrapping_add(number.wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// A per-command source of ids and of jitter.
///
/// The same seed and instant give the same sequence, so a command decided twice, and an oracle
/// beside a backend, draw the same. Ids are UUIDv7: their keys arrive in order.
///
/// ```
/// use ff_core::machine::Ids;
/// use ff_core::types::TimestampMs;
///
/// let now = TimestampMs::from_millis(1_700_000_000_000);
/// assert_eq!(Ids::new(7, now).lease(), Ids::new(7, now).lease());
/// ```
#[derive(Debug, Clone)]
pub struct Ids {
    state: u64,
    now_ms: u64,
}

impl Ids {
    /// A source at `now`, seeded with `seed`.
    pub fn new(seed: u64, now: TimestampMs) -> Self {
        Self { state: seed, now_ms: u64::try_from(now.0).unwrap_or(0) }
    }

    /// A fresh lease id.
    pub fn lease(&mut self) -> LeaseId {
        LeaseId::from_uuid(self.uuid())
    }

    /// A fresh attempt id.
    pub fn attempt(&mut self) -> AttemptId {
        AttemptId::from_uuid(self.uuid())
    }

    /// A fresh UUIDv7.
    pub fn uuid(&mut self) -> Uuid {
        let mut random = [0_u8; 10];
        random[..8].copy_from_slice(&self.next().to_le_bytes());
        random[8..].copy_from_slice(&self.next().to_le_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(self.now_ms, &random).into_uuid()
    }

    /// A number in `low..=high`; `low` when the range is empty.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low);
        match span.checked_add(1) {
            Some(width) => low + self.next() % width,
            None => self.next(),
        }
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    #[test]
    fn the_same_seed_draws_the_same_and_another_seed_does_not() {
        let (mut a, mut b, mut c) = (Ids::new(1, NOW), Ids::new(1, NOW), Ids::new(2, NOW));

        let (from_a, from_b, from_c) = (a.uuid(), b.uuid(), c.uuid());

        assert_eq!(from_a, from_b);
        assert_ne!(from_a, from_c);
        assert_ne!(a.uuid(), from_a);
    }

    #[test]
    fn ids_are_version_seven_and_carry_the_instant() {
        let drawn = Ids::new(1, NOW).uuid();

        assert_eq!(drawn.get_version_num(), 7);
        let (seconds, nanos) = drawn.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds * 1_000 + u64::from(nanos) / 1_000_000, 1_700_000_000_000);
    }

    #[test]
    fn a_drawn_number_stays_in_its_range() {
        let mut ids = Ids::new(9, NOW);

        assert!((0..1_000).all(|_| (5..=8).contains(&ids.within(5, 8))));
        assert_eq!(ids.within(3, 3), 3);
        assert_eq!(ids.within(9, 3), 9);
    }
}
