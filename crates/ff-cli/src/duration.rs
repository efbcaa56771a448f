//! Durations and sizes as people write them: a number always has its unit.

use std::time::Duration;

/// The units in descending order, each in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `30s`, `1h30m` or `250ms`. Each unit comes at most once, the larger one first.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let hint = "write a number and its unit, for example 250ms, 30s, 5m or 1h30m";
    let mut rest = text;
    let mut total_ms = 0_u64;
    let mut largest = 0;
    if rest.is_empty() {
        return Err(format!("a duration is empty: {hint}"));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(format!("`{text}` is not a duration: {hint}"));
        }
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if unit.is_empty() {
            return Err(format!("`{text}` has a number without a unit: {hint}"));
        }
        let Some(place) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("`{unit}` is not a unit of time: use ms, s, m, h or d"));
        };
        if place < largest {
            return Err(format!("`{text}` has its units out of order: {hint}"));
        }
        largest = place + 1;
        let too_long = || format!("`{text}` is too long");
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let ms = number.checked_mul(UNITS[place].1).ok_or_else(too_long)?;
        total_ms = total_ms.checked_add(ms).ok_or_else(too_long)?;
        rest = tail;
    }
    Ok(Duration::from_millis(total_ms))
}

/// As [`parse`], and refuses zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("`{text}` is no time at all: give at least 1ms")),
        span => Ok(span),
    }
}

/// The span in at most two units, rounded down: `850ms`, `12s`, `3m 5s`, `1d 23h`, `9d`.
pub(crate) fn brief(ms: u64) -> String {
    let place = UNITS.iter().position(|(_, size)| ms >= *size).unwrap_or(UNITS.len() - 1);
    let (unit, size) = UNITS[place];
    let first = format!("{}{unit}", ms / size);
    match UNITS.get(place + 1) {
        // From a second on, milliseconds say nothing.
        Some((unit, next)) if *next > 1 && ms % size >= *next => {
            format!("{first} {}{unit}", ms % size / next)
        }
        Some(_) | None => first,
    }
}

/// The span as it would be typed: `1h30m`, `2s500ms`.
pub(crate) fn exact(ms: u64) -> String {
    let mut rest = ms;
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if text.is_empty() { "0ms".to_owned() } else { text }
}

/// How long something took, to two or three digits: `12ms`, `1.25s`, `2m 5s`.
pub(crate) fn elapsed(ms: u64) -> String {
    match ms {
        1_000..60_000 => format!("{}.{:02}s", ms / 1_000, ms % 1_000 / 10),
        0..1_000 | 60_000.. => brief(ms),
    }
}

/// Reads `64KiB`, `1MiB` or `500B`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let hint = "write a number and its unit, for example 512KiB or 4MiB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "" => return Err(format!("`{text}` has no unit: {hint}")),
        _ => return Err(format!("`{unit}` is not a unit of size: use B, KiB or MiB")),
    };
    let number: usize = number.parse().map_err(|_| format!("`{text}` is not a size: {hint}"))?;
    number.checked_mul(scale).ok_or_else(|| format!("`{text}` is too large"))
}

/// A size for people: `13 B`, `4.0 KiB`, `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = u128::from(bytes) * 10 / u128::from(unit);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        1_048_576..1_073_741_824 => format!("{} MiB", tenths(1 << 20)),
        1_073_741_824.. => format!("{} GiB", tenths(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1s500ms", 1_500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_and_says_why() {
        for (text, why) in [
            ("", "is empty"),
            ("30", "without a unit"),
            ("1h30", "without a unit"),
            ("s", "is not a duration"),
            ("-1s", "is not a duration"),
            ("1.5s", "without a unit"),
            ("1 s", "without a unit"),
            ("3w", "not a unit"),
            ("3S", "not a unit"),
            ("1m1h", "out of order"),
            ("1s1s", "out of order"),
            ("99999999999999999999s", "too long"),
            ("999999999999999999d", "too long"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse_positive("0ms").is_err());
        assert!(parse_positive("1ms").is_ok());
    }

    #[test]
    fn a_span_prints_brief_exact_and_as_a_measurement() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_999, "1s"),
            (60_000, "1m"),
            (119_999, "1m 59s"),
            (3_600_000 + 59_000, "1h"),
            (47 * 3_600_000, "1d 23h"),
            (48 * 3_600_000 - 1, "1d 23h"),
            (48 * 3_600_000, "2d"),
        ] {
            assert_eq!(brief(ms), text);
        }
        assert_eq!(exact(0), "0ms");
        assert_eq!(exact(5_400_000), "1h30m");
        assert_eq!(parse(&exact(93_784_005)), Ok(Duration::from_millis(93_784_005)));
        assert_eq!(elapsed(999), "999ms");
        assert_eq!(elapsed(1_259), "1.25s");
        assert_eq!(elapsed(125_900), "2m 5s");
    }

    #[test]
    fn a_size_needs_its_unit_too() {
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("500B"), Ok(500));
        for text in ["1", "MiB", "1MB", "1.5MiB", "", "99999999999999999999MiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(size(13), "13 B");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(1 << 20), "1.0 MiB");
    }
}
