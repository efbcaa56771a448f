//! Each check is shown a run that is clean but for one forged fact, and must find it.

use ff_backend_memory::MemoryBackend;
use ff_core::types::{AttemptIndex, LeaseEpoch};

use super::*;
use crate::race;

/// A real run of a few clients, and the forging of it.
#[derive(Clone)]
struct Run {
    observed: Observed,
    histories: Vec<History>,
}

impl Run {
    async fn clean() -> Self {
        let verdict = race::race(&MemoryBackend::new().into(), 5, 8, 400).await.unwrap();
        assert_eq!(verdict.findings, Vec::new());
        Self { observed: verdict.observed, histories: verdict.histories }
    }

    fn found(&self) -> BTreeSet<&'static str> {
        let findings = judge(&self.observed, &self.histories);
        findings.into_iter().map(|finding| finding.invariant).collect()
    }

    #[track_caller]
    fn breaks(&self, invariant: &'static str, what: &str, forge: impl FnOnce(&mut Self)) {
        let mut forged = self.clone();
        forge(&mut forged);
        let found = forged.found();
        assert!(found.contains(invariant), "{what}: {invariant} is not among {found:?}");
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.histories.iter().flat_map(|history| &history.records)
    }

    fn accepted(&self, op: Op) -> Record {
        let mut of_op = self.records().filter(|record| record.op == op && record.is_ok());
        of_op.find(|record| record.execution.is_some()).unwrap().clone()
    }

    fn add(&mut self, record: Record) {
        self.histories.push(History { records: vec![record] });
    }

    fn forget(&mut self, op: Op) {
        for history in &mut self.histories {
            history.records.retain(|record| record.op != op);
        }
    }

    /// An execution with two leases at least, and their begins.
    fn twice_leased(&self) -> (ExecutionId, Vec<LeaseEvent>) {
        for id in self.observed.executions.keys() {
            let begins: Vec<LeaseEvent> = self
                .observed
                .lease_events
                .iter()
                .filter(|(_, event)| event.execution_id == *id && begins_lease(event.kind))
                .map(|(_, event)| event.clone())
                .collect();
            if begins.len() > 1 {
                return (id.clone(), begins);
            }
        }
        panic!("no execution was leased twice");
    }

    fn completed(&mut self) -> (ExecutionId, &mut Seen) {
        let completed = |seen: &Seen| {
            seen.summary.public_state == PublicState::Completed && seen.result.is_some()
        };
        let found = self.observed.executions.iter_mut().find(|(_, seen)| completed(seen));
        let (id, seen) = found.expect("something completed");
        (id.clone(), seen)
    }
}

fn at(ms: i64) -> (TimestampMs, TimestampMs) {
    (TimestampMs(ms), TimestampMs(ms))
}

fn accepted(op: Op, id: &ExecutionId, epoch: Option<u64>, ms: i64) -> Record {
    let mut record = Record::new("forger", op, Outcome::Ok("ok".to_owned()), at(ms));
    record.execution = Some(id.clone());
    record.epoch = epoch;
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invariant_can_fail() {
    let run = Run::clean().await;
    assert_eq!(run.found(), BTreeSet::new());
    let (id, begins) = run.twice_leased();
    let (first, second) = (begins[0].clone(), begins[1].clone());

    run.breaks("I1", "an acknowledged create is gone", |run| {
        let id = run.accepted(Op::Create).execution.unwrap();
        run.observed.executions.remove(&id);
    });
    run.breaks("I1", "something waits for ever", |run| {
        run.completed().1.summary.public_state = PublicState::Waiting;
    });
    run.breaks("I1", "a delay that is over is not seen", |run| {
        let seen = run.completed().1;
        seen.summary.public_state = PublicState::Delayed;
        seen.summary.due_at = Some(TimestampMs(1));
    });

    run.breaks("I2", "a run ended twice", |run| {
        let transitions = &mut run.completed().1.transitions;
        transitions.push(transitions.last().unwrap().clone());
    });
    run.breaks("I2", "a replay is not counted", |run| {
        run.completed().1.summary.replay_count += 1;
    });
    run.breaks("I2", "two reports ended one run", |run| {
        let record = Record { op: Op::Cancel, ..run.accepted(Op::Complete) };
        run.add(record);
    });
    run.breaks("I2", "the stored result is another", |run| {
        run.completed().1.result = Some(b"another".to_vec());
    });
    run.breaks("I2", "a result is gone", |run| run.completed().1.result = None);
    run.breaks("I2", "a read showed what nobody wrote", |run| {
        let mut read = accepted(Op::ReadResult, &run.completed().0, None, 1);
        read.result = Some(b"another".to_vec());
        run.add(read);
    });

    run.breaks("I6", "a completion was not announced", |run| {
        run.observed.completions.pop();
    });
    run.breaks("I6", "a completion was announced twice", |run| {
        let (number, last) = run.observed.completions.last().unwrap().clone();
        run.observed.completions.push((number + 1, last));
    });
    run.breaks("I6", "a completion of no run was announced", |run| {
        let (number, mut last) = run.observed.completions.last().unwrap().clone();
        last.run += 100;
        run.observed.completions.push((number + 1, last));
    });

    run.breaks("I3", "a lease began while another was live", |run| {
        run.observed
            .lease_events
            .retain(|(_, event)| event.execution_id != id || begins_lease(event.kind));
    });
    run.breaks("I3", "a claim left no event", |run| {
        let mut claim = run.accepted(Op::Claim);
        claim.epoch = Some(9_999);
        run.add(claim);
    });
    run.breaks("I3", "a lease is shown that no event tells of", |run| {
        run.observed.executions.get_mut(&id).unwrap().holds_lease = true;
    });
    run.breaks("I4", "an epoch was used again", |run| {
        for (_, event) in &mut run.observed.lease_events {
            if event.execution_id == id {
                event.epoch = first.epoch;
            }
        }
    });
    run.breaks("I4", "one epoch was given to two claims", |run| {
        let claim = run.accepted(Op::Claim);
        run.add(claim);
    });
    run.breaks("I4", "the row fell behind its events", |run| {
        run.observed.executions.get_mut(&id).unwrap().summary.lease_epoch = LeaseEpoch(0);
    });

    run.breaks("I5", "a write passed at an epoch nobody had", |run| {
        run.add(accepted(Op::Progress, &id, Some(9_999), second.at.0));
    });
    run.breaks("I5", "a write passed after the next claim", |run| {
        run.forget(Op::Progress);
        run.add(accepted(Op::Progress, &id, Some(first.epoch.0), second.at.0 + 1));
    });

    run.breaks("I7", "a move is not in the table", |run| {
        run.completed().1.transitions[0].to_state = PublicState::Skipped;
    });
    run.breaks("I7", "a move is missing", |run| {
        run.completed().1.transitions.remove(1);
    });
    run.breaks("I7", "another state is shown", |run| {
        run.completed().1.public_state = Some(PublicState::Failed);
    });
    run.breaks("I7", "an end was left without a replay", |run| {
        let transitions = &mut run.completed().1.transitions;
        let mut again = transitions.last().unwrap().clone();
        (again.from_state, again.to_state) = (Some(again.to_state), PublicState::Waiting);
        transitions.push(again);
    });

    run.breaks("I8", "an attempt is missing", |run| {
        run.completed().1.attempts.remove(0);
    });
    run.breaks("I8", "an attempt has another number", |run| {
        run.completed().1.attempts[0].attempt_index = AttemptIndex(77);
    });
    run.breaks("I8", "an attempt stayed open", |run| {
        run.completed().1.attempts[0].outcome = None;
    });
    run.breaks("I8", "more reclaims than allowed", |run| {
        let id = run.accepted(Op::Create).execution.unwrap();
        run.observed.executions.get_mut(&id).unwrap().summary.reclaim_count = 9_999;
    });

    run.breaks("I9", "a cancelled execution was claimed", |run| {
        run.forget(Op::Replay);
        run.add(accepted(Op::CancelExecution, &id, None, second.at.0 - 1));
    });

    run.breaks("I10", "a fitting worker went away empty", |run| {
        run.forget(Op::PauseLane);
        let now = run.observed.now.0;
        let seen = run.observed.executions.get_mut(&id).unwrap();
        let lane = seen.summary.lane_id.0.clone();
        let mut waiting = seen.transitions[0].clone();
        (waiting.to_state, waiting.at) = (PublicState::Waiting, TimestampMs(now));
        seen.transitions.push(waiting);
        let mut claim = Record::new("forger", Op::Claim, Outcome::Ok("None".into()), at(now + 1));
        claim.lane = Some(lane);
        claim.capabilities = vec!["eu".to_owned(), "gpu".to_owned()];
        run.add(claim);
    });

    run.breaks("I24", "a delay was cut short", |run| {
        run.forget(Op::Replay);
        let mut delay = accepted(Op::Delay, &id, Some(second.epoch.0 - 1), first.at.0);
        delay.not_before = Some(TimestampMs(second.at.0 + 1));
        run.add(delay);
    });
    run.breaks("I24", "a lease lapsed before its time", |run| {
        let mut events = run.observed.lease_events.iter();
        let lapsed = events.find(|(_, event)| event.kind == LeaseEventKind::Expired).unwrap();
        let (lapsed, at) = (lapsed.1.clone(), lapsed.1.at.0);
        let mut renewal = accepted(Op::Renew, &lapsed.execution_id, Some(lapsed.epoch.0), at - 1);
        renewal.expires_at = Some(TimestampMs(at + 1));
        run.add(renewal);
    });
    run.breaks("I24", "a retry came early", |run| {
        let mut all = run.observed.executions.values_mut();
        let seen = all.find(|seen| seen.attempts.len() > 1).unwrap();
        seen.attempts[1].attempt_type = AttemptType::Retry;
        seen.attempts[0].retry_at = seen.attempts[1].started_at.map(|at| TimestampMs(at.0 + 1));
    });
    run.breaks("I24", "a deadline struck early", |run| {
        let summary = &mut run.completed().1.summary;
        summary.public_state = PublicState::Expired;
        summary.deadline_at = summary.ended_at.map(|at| TimestampMs(at.0 + 1));
    });

    run.breaks("I26", "an event is older than the one before", |run| {
        run.observed.lease_events.last_mut().unwrap().1.at = TimestampMs(1);
    });
    run.breaks("I26", "a transition is older than the one before", |run| {
        run.completed().1.transitions.last_mut().unwrap().at = TimestampMs(1);
    });

    run.breaks("I27", "an event was not delivered", |run| {
        run.observed.delivered_completions.remove(0);
    });
    run.breaks("I27", "events were delivered in another order", |run| {
        run.observed.delivered_lease_events.swap(0, 1);
    });
}

#[test]
fn a_history_survives_json_lines_and_a_writer_that_was_killed() {
    let id = ExecutionId::from_parts(3, uuid::Uuid::from_u128(7));
    let mut record = accepted(Op::Complete, &id, Some(2), 5);
    record.result = Some(vec![0, 255]);
    let history = History { records: vec![record.clone(), record] };

    let text = history.to_jsonl().unwrap();

    assert_eq!(History::from_jsonl(&text).unwrap(), history);
    let torn = &text[..text.len() - 9];
    assert_eq!(History::from_jsonl(torn).unwrap().records.len(), 1);
    assert!(History::from_jsonl("nonsense\n").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_spends_and_depends_can_fail_too() {
    let run = Run::clean().await;
    let (id, begins) = run.twice_leased();
    let told = |op, word: &str, args: String| {
        let mut record = accepted(op, &id, None, begins[0].at.0);
        record.outcome = Outcome::Ok(word.to_owned());
        record.args = args;
        record
    };
    let budget = run.observed.budgets[0].budget_id.to_string();

    run.breaks("I9", "a member is claimed after its flow was cancelled", |run| {
        run.forget(Op::Replay);
        run.add(accepted(Op::CancelFlow, &id, None, begins[0].at.0 - 1));
    });
    run.breaks("I13", "an accepted signal is not announced", |run| {
        run.add(told(Op::Signal, "appended_to_waitpoint", "waitpoint signal".to_owned()));
    });
    run.breaks("I15", "a signal ended a wait that nobody left", |run| {
        run.add(told(Op::Signal, "resume_condition_satisfied", "waitpoint signal".to_owned()));
    });
    run.breaks("I17", "an accepted report is not counted", |run| {
        run.add(told(Op::Spend, "Ok", format!("{budget} a-key")));
    });
    run.breaks("I17", "a key counts twice", |run| {
        for _ in 0..2 {
            run.add(told(Op::Spend, "Ok", format!("{budget} a-key")));
        }
        run.observed.budgets[0].dimensions[0].usage += 2;
    });
    run.breaks("I17", "more is spent than was accepted", |run| {
        run.observed.budgets[0].dimensions[0].usage += 1;
    });
    run.breaks("I20", "a member is let go twice", |run| {
        let seen = run.completed().1;
        let mut again = seen.transitions[0].clone();
        again.cause = "dependencies_satisfied".to_owned();
        let runs = usize::try_from(seen.summary.replay_count).unwrap() + 2;
        seen.transitions.extend(std::iter::repeat_n(again, runs));
    });
}
