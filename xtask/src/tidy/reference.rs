//! Words that point at a conversation instead of at the code.

/// Words that, followed by a number, name an issue, a change or a stage of the work.
const NUMBERED: [&str; 10] =
    ["issue", "issues", "pr", "ticket", "stage", "wave", "milestone", "sprint", "rfc-ff", "gh"];

/// The first reference in a line, as it stands there.
pub(super) fn find(line: &str) -> Option<String> {
    if line.to_lowercase().contains("pull request") {
        return Some("pull request".to_owned());
    }
    let words: Vec<&str> =
        line.split(|c: char| !c.is_alphanumeric() && c != '#').filter(|w| !w.is_empty()).collect();
    for (at, word) in words.iter().enumerate() {
        if word.strip_prefix('#').is_some_and(is_number) {
            return Some((*word).to_owned());
        }
        let next = words.get(at + 1).map(|next| next.trim_start_matches('#')).unwrap_or_default();
        if NUMBERED.contains(&word.to_lowercase().as_str()) && is_number(next) {
            return Some(format!("{word} {}", words[at + 1]));
        }
        let is_glued = word.get(..2).is_some_and(|two| two.eq_ignore_ascii_case("pr"));
        if is_glued && is_number(&word[2..]) {
            return Some((*word).to_owned());
        }
    }
    None
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_in_every_spelling() {
        for (line, word) in [
            ("see #12", "#12"),
            ("(issue #3)", "issue #3"),
            ("PR-31 round two", "PR 31"),
            ("as of PR31", "PR31"),
            ("in Stage 4 this moves", "Stage 4"),
            ("the Pull Request says", "pull request"),
            ("wave-3", "wave 3"),
        ] {
            assert_eq!(find(line).as_deref(), Some(word), "{line}");
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for line in [
            "#[expect(missing_docs)]",
            "# Heading 2",
            "the issue of time",
            "at stage exit",
            "SQLite 3.51.3, contract E.4, invariant I24",
            "prompt",
            "&#x27;",
        ] {
            assert_eq!(find(line), None, "{line}");
        }
    }
}
