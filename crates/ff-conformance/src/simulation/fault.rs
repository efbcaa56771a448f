//! What goes wrong, how often, and how often it did.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    /// A worker or client forgets everything and starts again later.
    Crash,
    /// A worker or client stands still, often longer than its leases live, and goes on.
    Pause,
    /// A request never arrives.
    LostRequest,
    /// The engine's answer never arrives.
    LostReply,
    /// A request arrives twice.
    Duplicate,
    /// A request or an answer takes seconds.
    Slow,
    /// The wall clock jumps ahead.
    ClockAhead,
    /// The wall clock jumps back.
    ClockBack,
    /// No sweep runs for a while.
    SweepStall,
}

/// Every kind, with the name it is counted under.
pub(crate) const FAULTS: [(Fault, &str); 9] = [
    (Fault::Crash, "crashes"),
    (Fault::Pause, "pauses"),
    (Fault::LostRequest, "lost_requests"),
    (Fault::LostReply, "lost_replies"),
    (Fault::Duplicate, "duplicated"),
    (Fault::Slow, "slow"),
    (Fault::ClockAhead, "clock_ahead"),
    (Fault::ClockBack, "clock_back"),
    (Fault::SweepStall, "sweep_stalls"),
];

/// How often each kind happened.
pub(crate) type Counts = BTreeMap<Fault, u64>;

/// Kinds that strike by themselves; the others befall messages.
pub(crate) const STRIKES: [Fault; 5] =
    [Fault::Crash, Fault::Pause, Fault::ClockAhead, Fault::ClockBack, Fault::SweepStall];

/// The fault rates of one seed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    /// Mean milliseconds between two strikes of a kind.
    strike_every_ms: BTreeMap<Fault, u64>,
    /// Chance per message, in a thousand.
    per_mille: BTreeMap<Fault, u64>,
}

impl Weather {
    /// A tenth of the seeds has none, a tenth one kind only; the others draw.
    pub(crate) fn of(seed: u64, dice: &mut Dice) -> Self {
        let mut weather = Self::default();
        let only = usize::try_from(seed / 10).unwrap_or(0) % FAULTS.len();
        for (index, (fault, _)) in FAULTS.into_iter().enumerate() {
            let is_on = match seed % 10 {
                0 => false,
                1 => index == only,
                _ => dice.chance(55),
            };
            if !is_on {
                continue;
            }
            if STRIKES.contains(&fault) {
                let every_ms = dice.pick(&[60_000, 180_000, 400_000]);
                weather.strike_every_ms.insert(fault, every_ms);
            } else {
                weather.per_mille.insert(fault, dice.pick(&[5, 30, 100]));
            }
        }
        weather
    }

    /// Milliseconds until the next strike of a kind.
    pub(crate) fn next_strike_ms(&self, fault: Fault, dice: &mut Dice) -> Option<u64> {
        let every_ms = self.strike_every_ms.get(&fault)?;
        Some(every_ms / 4 + dice.below(every_ms * 3 / 2))
    }

    /// Whether this message is struck.
    pub(crate) fn befalls(&self, fault: Fault, dice: &mut Dice) -> bool {
        self.per_mille.get(&fault).is_some_and(|per_mille| dice.below(1_000) < *per_mille)
    }
}
