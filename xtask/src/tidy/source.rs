//! Rust text, taken apart: code, comments and string literals, each with its lines.

/// A source file's parts. `code` keeps every line break, so its line numbers are the file's.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The text with comments and the insides of literals blanked.
    pub(super) code: String,
    /// Comments: the line each begins on, counted from 1, and its text.
    pub(super) comments: Vec<(usize, String)>,
    /// String literals: the line each begins on and its text, escapes as written.
    pub(super) strings: Vec<(usize, String)>,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut source = Self::default();
        let (mut at, mut line) = (0, 1);
        while at < chars.len() {
            let end = match (chars[at], chars.get(at + 1)) {
                ('/', Some('/')) => until(&chars, at, |rest| rest[0] == '\n'),
                ('/', Some('*')) => block_comment_end(&chars, at),
                _ => match string_end(&chars, at) {
                    Some(end) => end,
                    None => char_end(&chars, at),
                },
            };
            let piece: String = chars[at..end].iter().collect();
            let breaks = piece.matches('\n').count();
            if piece.starts_with("//") || piece.starts_with("/*") {
                source.comments.push((line, piece));
                source.code.extend(std::iter::repeat_n('\n', breaks));
            } else if end - at > 1 && piece.ends_with(['"', '#']) {
                source.code.push_str("\"\"");
                source.code.extend(std::iter::repeat_n('\n', breaks));
                let open = piece.find('"').map_or(0, |quote| quote + 1);
                let close = piece.rfind('"').unwrap_or(piece.len()).max(open);
                source.strings.push((line, piece[open..close].to_owned()));
            } else if end - at > 1 {
                source.code.push_str("' '");
            } else {
                source.code.push_str(&piece);
            }
            line += breaks;
            at = end;
        }
        source
    }

    /// The line numbers on which `code` contains `needle`.
    pub(super) fn lines_with<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        let numbered = self.code.lines().enumerate();
        numbered.filter(move |(_, line)| line.contains(needle)).map(|(index, _)| index + 1)
    }
}

fn until(chars: &[char], from: usize, ends: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|at| ends(&chars[*at..])).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// Where the string literal that begins at `from` ends, if one begins there.
fn string_end(chars: &[char], from: usize) -> Option<usize> {
    let follows_a_name = from > 0 && (chars[from - 1].is_alphanumeric() || chars[from - 1] == '_');
    let mut at = from;
    while !follows_a_name && at < from + 2 && matches!(chars.get(at), Some('b' | 'c')) {
        at += 1;
    }
    if !follows_a_name && chars.get(at) == Some(&'r') {
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        let open = at + 1 + hashes;
        if chars.get(open) == Some(&'"') {
            let closing: String = format!("\"{}", "#".repeat(hashes));
            let closing: Vec<char> = closing.chars().collect();
            let close = until(chars, open + 1, |rest| rest.starts_with(&closing));
            return Some((close + closing.len()).min(chars.len()));
        }
    }
    if chars.get(at) != Some(&'"') {
        return None;
    }
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    Some((at + 1).min(chars.len()))
}

/// Where a character literal ends; one further when `from` begins none (a lifetime, for one).
fn char_end(chars: &[char], from: usize) -> usize {
    if chars[from] != '\'' {
        return from + 1;
    }
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => (until(chars, from + 3, |rest| rest[0] == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_told_from_code() {
        let source = Source::parse(concat!(
            "let a = \"// no comment\"; // one\n",
            "/* two /* nested */ */ let b = '\"'; let c: &'static str = r#\"\n\"x\"\"#;\n",
            "let d = b\"\\\"\"; // three\n",
        ));

        let comments: Vec<(usize, &str)> =
            source.comments.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(comments, [(1, "// one"), (2, "/* two /* nested */ */"), (4, "// three")]);
        let strings: Vec<(usize, &str)> =
            source.strings.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(strings, [(1, "// no comment"), (2, "\n\"x\""), (4, "\\\"")]);
        assert_eq!(source.code.lines().count(), 4);
        assert_eq!(source.lines_with("let d").collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn a_lifetime_begins_no_literal() {
        let source = Source::parse("fn f<'a>(x: &'a str) -> char { '\\'' } // end\n");

        assert_eq!(source.comments.len(), 1);
        assert!(source.code.contains("fn f<'a>(x: &'a str) -> char { ' ' }"));
    }
}
