//! The one place of the command line that reads a clock.
//!
//! The engine's own clock decides everything; these times only pace loops, bound waits and print ages.
#![expect(clippy::disallowed_methods, reason = "the edge of the program: nothing to inject into")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point of the monotonic clock.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch, by the local clock.
pub(crate) fn epoch_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A span as whole milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The moment as people read it: local time with its offset.
pub(crate) fn absolute(at_ms: i64) -> String {
    let Ok(moment) = jiff::Timestamp::from_millisecond(at_ms) else {
        return format!("{at_ms} ms");
    };
    let zoned = moment.to_zoned_datetime(jiff::tz::TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
}

/// The time of day, for a log line.
pub(crate) fn clock() -> String {
    jiff::Timestamp::from_millisecond(epoch_ms()).map_or_else(
        |_| "--:--:--".to_owned(),
        |now| now.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string(),
    )
}

/// How far a moment is from now: `12s ago`, `in 3m`, `in 1d 23h`.
pub(crate) fn relative(at_ms: i64, now_ms: i64) -> String {
    let distance = now_ms.abs_diff(at_ms);
    let brief = crate::duration::brief(distance);
    if at_ms > now_ms { format!("in {brief}") } else { format!("{brief} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_says_its_direction() {
        assert_eq!(relative(1_000, 13_000), "12s ago");
        assert_eq!(relative(181_000, 1_000), "in 3m");
        assert_eq!(relative(5, 5), "0ms ago");
    }
}
