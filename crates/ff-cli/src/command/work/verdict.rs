//! What an ended command means for its attempt.

use std::process::ExitStatus;

use ff_core::backend::{FailOutcome, FailureClass};

use crate::command::work::Outcome;
use crate::process::{Left, describe};
use crate::time;

/// Exit codes of sysexits.h that no other attempt would change.
pub(super) const PERMANENT: [(i32, &str); 11] = [
    (64, "EX_USAGE"),
    (65, "EX_DATAERR"),
    (66, "EX_NOINPUT"),
    (67, "EX_NOUSER"),
    (68, "EX_NOHOST"),
    (70, "EX_SOFTWARE"),
    (72, "EX_OSFILE"),
    (73, "EX_CANTCREAT"),
    (76, "EX_PROTOCOL"),
    (77, "EX_NOPERM"),
    (78, "EX_CONFIG"),
];

/// What the worker tells the engine about an attempt.
pub(super) enum Verdict {
    Complete(Vec<u8>),
    Fail(String, FailureClass),
}

pub(super) fn failed(reason: &str, outcome: &FailOutcome) -> (Outcome, String) {
    let first = reason.lines().next().unwrap_or_default();
    match outcome {
        FailOutcome::RetryScheduled { delay_until } => {
            let wait = time::relative(delay_until.0, time::epoch_ms());
            (Outcome::Retried, format!("failed, next attempt {wait}: {first}"))
        }
        FailOutcome::TerminalFailed => (Outcome::Failed, format!("failed for good: {first}")),
    }
}

pub(super) fn too_large(limit: usize) -> Verdict {
    Verdict::Fail(
        format!(
            "the result is too large: the command wrote more than {limit} bytes to stdout, and the \
             limit is {limit} bytes; store the data elsewhere and write a reference, or raise \
             --result-limit"
        ),
        FailureClass::Permanent,
    )
}

/// What an ended command means for its attempt.
pub(super) fn verdict(status: ExitStatus, left: Left, limit: usize) -> Verdict {
    if left.too_large {
        return too_large(limit);
    }
    if status.success() {
        return match left.unread {
            None => Verdict::Complete(left.stdout),
            Some(why) => Verdict::Fail(
                format!("the result could not be read to its end: {why}"),
                FailureClass::Transient,
            ),
        };
    }
    let permanent =
        status.code().and_then(|code| PERMANENT.iter().find(|(known, _)| *known == code));
    let class = match permanent {
        Some(_) => FailureClass::Permanent,
        None => FailureClass::Transient,
    };
    let mut reason = describe(status);
    if let Some((_, name)) = permanent {
        reason = format!("{reason} ({name})");
    }
    if !left.stderr_tail.is_empty() {
        reason = format!("{reason}: {}", left.stderr_tail);
    }
    Verdict::Fail(reason, class)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn after(raw: i32, stderr: &str) -> Verdict {
        let left = Left {
            stdout: b"out".to_vec(),
            too_large: false,
            unread: None,
            stderr_tail: stderr.to_owned(),
        };
        verdict(ExitStatus::from_raw(raw), left, 10)
    }

    #[test]
    fn an_exit_code_decides_between_the_three_ends() {
        assert!(matches!(after(0, "noise"), Verdict::Complete(out) if out == b"out"));
        for code in 1..=255 {
            let Verdict::Fail(reason, class) = after(code << 8, "") else {
                panic!("exit code {code} completed")
            };
            let expected = match code {
                64..=68 | 70 | 72 | 73 | 76..=78 => FailureClass::Permanent,
                _ => FailureClass::Transient,
            };
            assert_eq!(class, expected, "{code}");
            assert!(reason.contains(&code.to_string()));
        }
        assert!(matches!(after(9, ""), Verdict::Fail(_, FailureClass::Transient)));
    }

    #[test]
    fn the_reason_is_the_exit_and_the_end_of_stderr() {
        let Verdict::Fail(reason, _) = after(65 << 8, "no such column") else { panic!() };
        assert_eq!(reason, "exit code 65 (EX_DATAERR): no such column");
    }

    #[test]
    fn a_result_that_is_too_large_fails_for_good_whatever_the_exit_code() {
        let left = || Left {
            stdout: Vec::new(),
            too_large: true,
            unread: None,
            stderr_tail: String::new(),
        };
        let Verdict::Fail(reason, class) = verdict(ExitStatus::from_raw(0), left(), 10) else {
            panic!()
        };
        let cut = Left { too_large: false, unread: Some("EIO".to_owned()), ..left() };
        let cut = verdict(ExitStatus::from_raw(0), cut, 10);
        assert!(matches!(cut, Verdict::Fail(_, FailureClass::Transient)), "half a result");
        assert_eq!(class, FailureClass::Permanent);
        assert!(reason.contains("more than 10 bytes"));
    }
}
