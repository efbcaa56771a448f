//! Streams in random sequences: frames of every kind, and what is read of them.

use ff_core::backend::{BestEffortLiveConfig, Frame, FrameKind, StreamMode, TailVisibility};
use ff_core::contracts::StreamCursor;
use ff_core::types::AttemptIndex;

use super::alphabet::{Command, NEWEST, Proof, SLOTS, Step, Tweak, Worker};
use super::alphabet::{proof, slot, small, worker};
use super::compare::Answer;
use super::driver::World;
use super::lease;
use crate::dice::Dice;
use crate::probe::Engine;

/// What a frame carries; the last is too large.
const BODIES: u64 = 8;

/// How a frame is kept.
const MODES: u64 = 4;

/// Attempts whose streams are read at the end: the census compares the rows of all.
const ATTEMPTS: u8 = 2;

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name says where")]
pub enum Place {
    Start,
    End,
    /// Before the first frame, as an id.
    Beginning,
    /// So many milliseconds from now: a bare instant, or a frame of it.
    At {
        by: i64,
        seq: Option<u64>,
    },
    /// No place: the text of none.
    Nowhere,
}

/// One call about streams.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the operation it calls")]
pub enum Call {
    Append { proof: Proof, body: u8, mode: u8, seq: Option<u64>, is_typed: bool },
    Read { slot: u8, attempt: u8, from: Place, to: Place, limit: u64 },
    Tail { slot: u8, attempt: u8, after: Place, limit: u64, without_best_effort: bool },
    Summary { slot: u8, attempt: u8 },
}

/// The operations that a full run must have seen succeed.
pub const OPERATIONS: [&str; 4] = ["append_frame", "read_stream", "tail_stream", "read_summary"];

pub(super) fn call(dice: &mut Dice) -> Call {
    let attempt = dice.pick(&[0, 0, 0, 1, 2]);
    let limit = dice.pick(&[0, 1, 2, 100, 100, 10_000, 10_001]);
    match dice.below(100) {
        0..=69 => append(dice),
        70..=83 => {
            Call::Read { slot: slot(dice), attempt, from: place(dice), to: place(dice), limit }
        }
        84..=93 => Call::Tail {
            slot: slot(dice),
            attempt,
            after: place(dice),
            limit,
            without_best_effort: dice.chance(40),
        },
        _ => Call::Summary { slot: slot(dice), attempt },
    }
}

/// A claim that writes until its stream has to let frames go.
pub(super) fn burst(dice: &mut Dice) -> Vec<Command> {
    let own = Proof { age: 0, tweak: Tweak::None };
    let worker = Worker { has: 2, ttl: 200, ..worker(dice) };
    let mut commands = vec![Command::Lease(lease::Call::Claim { lane: small(dice, 2), worker })];
    let mode = small(dice, MODES);
    for _ in 0..3 + dice.below(5) {
        let Call::Append { body, seq, is_typed, .. } = append(dice) else { continue };
        let mode = if dice.chance(80) { mode } else { small(dice, MODES) };
        commands.push(Command::Stream(Call::Append { proof: own, body, mode, seq, is_typed }));
        if dice.chance(25) {
            commands.push(Command::Time(Step::By(dice.pick(&[1, 10, 51]))));
        }
    }
    commands.push(Command::Stream(Call::Read {
        slot: NEWEST,
        attempt: 0,
        from: Place::Start,
        to: Place::End,
        limit: 100,
    }));
    commands
}

/// What is read of every stream at the end of a sequence.
pub(super) fn last_reads() -> Vec<Call> {
    let of = |slot| {
        (0..ATTEMPTS).flat_map(move |attempt| {
            let (from, to, limit) = (Place::Start, Place::End, 100);
            [Call::Read { slot, attempt, from, to, limit }, Call::Summary { slot, attempt }]
        })
    };
    (0..SLOTS).flat_map(of).collect()
}

fn append(dice: &mut Dice) -> Call {
    Call::Append {
        proof: proof(dice),
        body: if dice.chance(97) { small(dice, BODIES - 1) } else { small(dice, BODIES) },
        mode: small(dice, MODES),
        seq: dice.pick(&[None, None, Some(7)]),
        is_typed: dice.chance(20),
    }
}

fn place(dice: &mut Dice) -> Place {
    match dice.below(100) {
        0..=29 => Place::Start,
        30..=54 => Place::End,
        55..=69 => Place::Beginning,
        70..=95 => Place::At {
            by: dice.pick(&[-100, -50, -10, -1, 0, 0, 1]),
            seq: dice.pick(&[None, Some(0), Some(1), Some(u64::MAX)]),
        },
        _ => Place::Nowhere,
    }
}

fn cursor(world: &World, place: Place) -> StreamCursor {
    match place {
        Place::Start => StreamCursor::start(),
        Place::End => StreamCursor::end(),
        Place::Beginning => StreamCursor::beginning(),
        Place::At { by, seq: None } => StreamCursor::At(world.later(by).0.to_string()),
        Place::At { by, seq: Some(seq) } => {
            StreamCursor::At(format!("{}-{seq}", world.later(by).0))
        }
        Place::Nowhere => StreamCursor::At("soon".to_owned()),
    }
}

fn frame(body: u8, mode: u8, seq: Option<u64>, is_typed: bool) -> Frame {
    let bytes = match body {
        0 => b"text".to_vec(),
        1 => Vec::new(),
        2 => vec![0xff, 0xfe],
        3 => br#"{"step":1,"done":{"a":true}}"#.to_vec(),
        4 => br#"{"done":{"a":null,"b":[1,2.5]}}"#.to_vec(),
        5 => "{\"name\":\"\u{e9}\\u0000\"}".as_bytes().to_vec(),
        6 => br#"{"step":"#.to_vec(),
        _ => vec![b'x'; 64 * 1024 + 1],
    };
    let kinds = [FrameKind::Stdout, FrameKind::Stderr, FrameKind::Event, FrameKind::Blob];
    let kind = kinds[usize::from(body) % kinds.len()];
    let made = match seq {
        Some(seq) => Frame::with_seq(bytes, kind, seq),
        None => Frame::new(bytes, kind),
    };
    let made = made.with_mode(match mode {
        0 => StreamMode::durable(),
        1 => StreamMode::durable_summary(),
        2 => StreamMode::best_effort_live(50),
        _ => {
            let few = BestEffortLiveConfig::with_ttl(100).with_maxlen_floor(1);
            StreamMode::best_effort_live_with_config(few.with_maxlen_ceiling(2))
        }
    });
    if is_typed { made.with_frame_type("log").with_correlation_id("run-1") } else { made }
}

pub(super) async fn ask(engine: &Engine, world: &World, call: &Call) -> Answer {
    let backend = engine.backend();
    match call {
        Call::Append { proof, body, mode, seq, is_typed } => {
            let handle = world.handle(engine, *proof);
            let said = backend.append_frame(&handle, frame(*body, *mode, *seq, *is_typed)).await;
            Answer::new("append_frame", said)
        }
        Call::Read { slot, attempt, from, to, limit } => {
            let (from, to) = (cursor(world, *from), cursor(world, *to));
            let index = AttemptIndex(u32::from(*attempt));
            let said = backend.read_stream(world.id(*slot), index, from, to, *limit).await;
            Answer::new("read_stream", said)
        }
        Call::Tail { slot, attempt, after, limit, without_best_effort } => {
            let visibility = if *without_best_effort {
                TailVisibility::ExcludeBestEffort
            } else {
                TailVisibility::All
            };
            let (after, index) = (cursor(world, *after), AttemptIndex(u32::from(*attempt)));
            let id = world.id(*slot);
            let said = backend.tail_stream(id, index, after, 0, *limit, visibility).await;
            Answer::new("tail_stream", said)
        }
        Call::Summary { slot, attempt } => {
            let index = AttemptIndex(u32::from(*attempt));
            Answer::new("read_summary", backend.read_summary(world.id(*slot), index).await)
        }
    }
}
