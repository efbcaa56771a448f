//! The longest files and functions: something to look at, never a failure.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::path::Path;

use super::Files;
use super::source::Source;

/// How many of each are shown.
const SHOWN: usize = 10;

/// A table of the ten longest Rust files and the ten longest functions of the workspace.
pub fn report(root: &Path) -> String {
    let files = Files::read(root);
    let mut lengths: Vec<(usize, String)> = Vec::new();
    let mut functions: Vec<(usize, String)> = Vec::new();
    for (path, source) in &files.rust {
        lengths.push((source.code.lines().count(), path.clone()));
        for (name, line, length) in functions_of(source) {
            functions.push((length, format!("{path}:{line} {name}")));
        }
    }
    let mut text = String::new();
    for (title, mut rows) in [("longest files", lengths), ("longest functions", functions)] {
        rows.sort_by_key(|(length, name)| (Reverse(*length), name.clone()));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{title}, in lines");
        for (length, name) in rows.iter().take(SHOWN) {
            let _ = writeln!(text, "{length:>6}  {name}");
        }
    }
    text
}

/// Name, first line and length of every function with a body.
fn functions_of(source: &Source) -> Vec<(String, usize, usize)> {
    let code = source.code.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = source.code[from..].find("fn ") {
        let at = from + offset;
        from = at + 3;
        let is_word = at == 0 || !(code[at - 1].is_ascii_alphanumeric() || code[at - 1] == b'_');
        let name: String =
            source.code[from..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !is_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(&code[from..]) {
            let line = source.code[..at].matches('\n').count() + 1;
            let length = source.code[at..from + end].matches('\n').count() + 1;
            found.push((name, line, length));
        }
    }
    found
}

/// Where the body of a function ends, counted from its name; `None` for a declaration.
fn body_end(code: &[u8]) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, byte) in code.iter().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b';' if braces == 0 && others == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_reaches_from_its_name_to_its_last_brace() {
        let source = Source::parse(concat!(
            "trait T {\n    fn declared(&self, x: [u8; 2]);\n}\n",
            "fn long(x: [u8; 4]) {\n    if true {\n        g(\"}\");\n    }\n}\n",
            "fn short() {}\n",
        ));

        assert_eq!(functions_of(&source), [("long".to_owned(), 4, 5), ("short".to_owned(), 9, 1)]);
    }
}
