//! What goes to stdout: tables for people, JSON for programs, ids for pipes.
//!
//! Data from executions is bytes that anyone may have written. In everything a person reads, control
//! characters and text-direction marks are escaped, so that no payload can drive the terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use ff_core::state::PublicState;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The shapes an answer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
    /// Ids only, one a line.
    Id,
}

/// Where answers go and how they look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// The shape.
    pub(crate) format: Format,
    /// Say only what was asked for.
    pub(crate) quiet: bool,
    color: bool,
}

impl Output {
    /// From the flags: a named format wins, `-q` alone means ids.
    pub(crate) fn new(format: Option<Format>, json: bool, quiet: bool) -> Self {
        let format = match (format, json, quiet) {
            (Some(format), false, _) => format,
            (_, true, _) => Format::Json,
            (None, false, true) => Format::Id,
            (None, false, false) => Format::Table,
        };
        Self { format, quiet, color: colors(io::stdout().is_terminal()) }
    }

    /// Whether the answer is to be one JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints one JSON document.
    pub(crate) fn json(&self, value: &Value) -> Result<()> {
        let text = if io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(|error| {
            Error::new(crate::error::Exit::Error, "json", "cannot write JSON")
                .why(error.to_string())
        })?;
        self.line(&text)
    }

    /// Prints one JSON object on a line of its own.
    pub(crate) fn json_line(&self, value: &Value) -> Result<()> {
        self.line(&value.to_string())
    }

    /// Whether stdout is a terminal that can be drawn over.
    pub(crate) fn draws(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        self.format == Format::Table && io::stdout().is_terminal() && !dumb
    }

    /// Prints text and a line end, as it is.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        // What the command found out still decides its exit code.
        self.bytes_read(bytes).map(|_| ())
    }

    /// As [`Self::line`], and answers whether someone still reads.
    pub(crate) fn line_read(&self, text: &str) -> Result<bool> {
        self.bytes_read(format!("{text}\n").as_bytes())
    }

    #[expect(clippy::unused_self, reason = "output is written through `Output` everywhere")]
    fn bytes_read(&self, bytes: &[u8]) -> Result<bool> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(true),
            // The reader has seen enough: `ff exec list | head` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::io("write to stdout", &error)),
        }
    }

    /// Prints a table, or `empty` when it has no row.
    pub(crate) fn table(&self, headers: &[&str], rows: Vec<Vec<Cell>>, empty: &str) -> Result<()> {
        if rows.is_empty() {
            return self.line(empty);
        }
        let mut table = self.blank_table();
        table.set_header(headers.iter().map(|text| self.bold(text)));
        table.add_rows(rows);
        self.line(&table.trim_fmt())
    }

    /// Prints names and values, one pair a line.
    pub(crate) fn pairs(&self, pairs: Vec<(&str, Cell)>) -> Result<()> {
        let mut table = self.blank_table();
        for (name, value) in pairs {
            table.add_row(vec![self.bold(name), value]);
        }
        self.line(&table.trim_fmt())
    }

    fn blank_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty();
        }
        if self.color {
            table.enforce_styling();
        }
        table
    }

    fn bold(&self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.color { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    /// A cell whose colour carries a judgement.
    pub(crate) fn judged(&self, text: impl AsRef<str>, good: bool) -> Cell {
        let cell = cell(text);
        match (self.color, good) {
            (true, true) => cell.fg(Color::Green),
            (true, false) => cell.fg(Color::Red),
            (false, _) => cell,
        }
    }

    /// Text in the colour of a state.
    pub(crate) fn paint(&self, state: PublicState, text: &str) -> String {
        let code = match state {
            _ if !self.color => return text.to_owned(),
            PublicState::Completed => 32,
            PublicState::Failed | PublicState::Expired => 31,
            PublicState::Cancelled | PublicState::Skipped => 90,
            PublicState::Active => 36,
            PublicState::Delayed
            | PublicState::RateLimited
            | PublicState::WaitingChildren
            | PublicState::Suspended => 33,
            _ => return text.to_owned(),
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A state in its colour.
    pub(crate) fn state(&self, state: PublicState) -> Cell {
        self.toned(state.as_str(), state)
    }

    /// A cell in the colour of a state.
    pub(crate) fn toned(&self, text: &str, state: PublicState) -> Cell {
        let cell = cell(text);
        if !self.color {
            return cell;
        }
        match state {
            PublicState::Completed => cell.fg(Color::Green),
            PublicState::Failed | PublicState::Expired => cell.fg(Color::Red),
            PublicState::Cancelled | PublicState::Skipped => cell.fg(Color::DarkGrey),
            PublicState::Active => cell.fg(Color::Cyan),
            PublicState::Delayed
            | PublicState::RateLimited
            | PublicState::WaitingChildren
            | PublicState::Suspended => cell.fg(Color::Yellow),
            _ => cell,
        }
    }
}

/// A cell of user data.
pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    Cell::new(escape(text.as_ref()))
}

/// Whether to colour what goes to a stream; `NO_COLOR` says no, whatever its value, unless empty.
pub(crate) fn colors(is_terminal: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_terminal && !refused && !dumb
}

/// Text that is safe to show in one line of a terminal.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        push_safe(&mut safe, c);
    }
    safe
}

/// As [`escape`], and keeps line ends and tabs.
pub(crate) fn escape_lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            _ => push_safe(&mut safe, c),
        }
    }
    safe
}

fn push_safe(safe: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = match c {
        '\n' => safe.write_str("\\n"),
        '\r' => safe.write_str("\\r"),
        '\t' => safe.write_str("\\t"),
        '\0'..='\x1f' | '\x7f' => write!(safe, "\\x{:02x}", u32::from(c)),
        // C1 controls, direction marks and overrides, line and paragraph separators.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => write!(safe, "\\u{{{:x}}}", u32::from(c)),
        _ => safe.write_char(c),
    };
}

/// Text cut to `max` characters, with a mark where something is missing.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let cut = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..cut])
        }
    }
}

/// Bytes as JSON can carry them: under `name` if they are JSON, else `<name>_text` or `<name>_base64`.
pub(crate) fn put_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        object.insert(format!("{name}_base64"), json!(BASE64_STANDARD.encode(bytes)));
        return;
    };
    match serde_json::from_str::<Value>(text) {
        Ok(value) => object.insert(name.to_owned(), value),
        Err(_) => object.insert(format!("{name}_text"), json!(text)),
    };
}

/// One answer for one id, a list for several, in their order.
pub(crate) fn one_or_list(mut documents: Vec<Value>) -> Value {
    if documents.len() == 1 { documents.remove(0) } else { Value::Array(documents) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_data_can_drive_the_terminal() {
        assert_eq!(escape("a\x1b[31mb"), "a\\x1b[31mb");
        assert_eq!(escape("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(escape("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(escape("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(escape("größe ✓ 漢字"), "größe ✓ 漢字");
        assert_eq!(escape_lines("a\n\tb\x07"), "a\n\tb\\x07");
        assert!(!escape(&('\0'..='\u{ff}').collect::<String>()).chars().any(char::is_control));
    }

    #[test]
    fn a_cut_text_shows_that_it_is_cut() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab…");
        assert_eq!(shorten("äöüß", 3), "äö…");
    }

    #[test]
    fn bytes_become_json_by_what_they_are() {
        let mut object = Map::new();
        put_bytes(&mut object, "a", br#"{"x":1}"#);
        put_bytes(&mut object, "b", b"plain");
        put_bytes(&mut object, "c", &[0xff, 0x00]);
        assert_eq!(
            Value::Object(object),
            json!({"a": {"x": 1}, "b_text": "plain", "c_base64": "/wA="})
        );
    }

    #[test]
    fn a_named_format_wins_over_quiet() {
        assert_eq!(Output::new(None, false, false).format, Format::Table);
        assert_eq!(Output::new(None, false, true).format, Format::Id);
        assert_eq!(Output::new(Some(Format::Table), false, true).format, Format::Table);
        assert_eq!(Output::new(None, true, true).format, Format::Json);
    }
}
