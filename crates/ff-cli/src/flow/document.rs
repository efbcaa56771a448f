//! A YAML or JSON document in which every value knows its place, so that a mistake can be shown where it
//! is.
//!
//! The core schema of YAML 1.2 decides what a plain scalar is: `no` and `012` are what they look like, a
//! text and a number. Numbers keep their digits: what is a JSON number is handed on as it was written.
//! Anchors and aliases work; tags other than `!!str` do not.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::Value as Json;

/// Most values in a document, counting what an alias repeats: a graph of 10,000 nodes with every field is
/// a tenth of it.
const VALUES_MAX: usize = 2_000_000;

/// Deepest nesting; payloads are rarely more than five deep.
const DEPTH_MAX: usize = 64;

/// A place in the file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// What sorts places as they come in the file.
    pub(crate) fn order(self) -> (usize, usize) {
        (self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Self { line: span.start.line(), column: span.start.col() + 1 }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) at: Option<Place>,
    pub(crate) what: String,
}

impl Mistake {
    pub(crate) fn at(at: Place, what: impl Into<String>) -> Self {
        Self { at: Some(at), what: what.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{at}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// The text of a JSON number.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) at: Place,
    pub(crate) name: String,
}

impl Node {
    /// What kind of value it is, as in "must be a list, not a text".
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The JSON of it, numbers and the order of keys as written.
    pub(crate) fn json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, out: &mut String) {
        match &self.value {
            Value::Null => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(digits) => out.push_str(digits),
            Value::Text(text) => out.push_str(&Json::from(text.as_str()).to_string()),
            Value::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Map(members) => {
                out.push('{');
                for (place, (key, member)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    out.push_str(&Json::from(key.name.as_str()).to_string());
                    out.push(':');
                    member.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// Reads the one document of a file.
pub(crate) fn read(text: &str) -> Result<Node, Mistake> {
    let text = join_surrogates(text);
    let mut reader =
        Reader { events: Parser::new_from_str(&text), anchors: HashMap::new(), values: 0 };
    let node = loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd | Event::DocumentEnd => {
                return Err(Mistake { at: None, what: "the file is empty".to_owned() });
            }
            other => break reader.node(other, span, 1)?,
        }
    };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(node),
            (Event::DocumentStart(_), span) => {
                return Err(Mistake::at(
                    span.into(),
                    "a file describes one flow, and here begins a second document",
                ));
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Mistake> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(unreadable(&error)),
            None => Err(Mistake { at: None, what: "the file ends too early".to_owned() }),
        }
    }

    fn count(&mut self, values: usize, at: Place) -> Result<(), Mistake> {
        self.values = self.values.saturating_add(values);
        if self.values > VALUES_MAX {
            return Err(Mistake::at(at, format!("the document has more than {VALUES_MAX} values")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Mistake> {
        let at = Place::from(span);
        if depth > DEPTH_MAX {
            return Err(Mistake::at(at, format!("values are nested more than {DEPTH_MAX} deep")));
        }
        let before = self.values;
        self.count(1, at)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(text, style, tag.as_deref(), at)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                (self.list(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                (self.map(depth)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some((node, values)) = self.anchors.get(&anchor) else {
                    return Err(Mistake::at(at, "an alias stands inside its own anchor"));
                };
                let (value, values) = (node.value.clone(), *values);
                self.count(values, at)?;
                return Ok(Node { at, value });
            }
            _ => return Err(Mistake::at(at, "a value is missing here")),
        };
        let node = Node { at, value };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.values - before));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Mistake> {
        let mut members: Vec<(Key, Node)> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let at = Place::from(span);
            let name = match event {
                Event::MappingEnd => return Ok(Value::Map(members)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Mistake::at(at, "a key must be a text")),
            };
            if name == "<<" {
                return Err(Mistake::at(
                    at,
                    "merge keys (`<<`) are not part of YAML 1.2; use `defaults`, or an alias as a whole value",
                ));
            }
            if let Some(first) = seen.insert(name.clone(), at) {
                return Err(Mistake::at(at, format!("`{name}` is given twice, first at {first}")));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            members.push((Key { at, name }, node));
        }
    }
}

fn unreadable(error: &ScanError) -> Mistake {
    let marker = error.marker();
    Mistake::at(
        Place { line: marker.line(), column: marker.col() + 1 },
        format!("this is neither YAML nor JSON: {}", error.info()),
    )
}

fn refuse_tag(tag: Option<&Tag>, at: Place) -> Result<(), Mistake> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(Mistake::at(at, format!("the tag `{tag}` is not understood here"))),
    }
}

fn scalar(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Place,
) -> Result<Value, Mistake> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
            return Ok(Value::Text(text.into_owned()));
        }
        tag => refuse_tag(tag, at)?,
    }
    if style != ScalarStyle::Plain {
        return Ok(Value::Text(text.into_owned()));
    }
    Ok(match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "-.inf" | "-.Inf" | "-.INF" | "+.inf" | "+.Inf" | "+.INF"
        | ".nan" | ".NaN" | ".NAN" => {
            return Err(Mistake::at(
                at,
                format!("JSON has no number for `{text}`; quote it if it is a text"),
            ));
        }
        plain => match number(plain) {
            Some(digits) => Value::Number(digits),
            None => Value::Text(text.into_owned()),
        },
    })
}

/// The JSON number that a plain scalar stands for, if it is a number of the core schema.
fn number(text: &str) -> Option<String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(|value| value.to_string());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(|value| value.to_string());
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = digits(whole)
        && fraction.is_none_or(digits)
        && (!whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty()))
        && exponent.is_none_or(|exponent| {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent)
        });
    if !is_number {
        return None;
    }
    // JSON writes no leading zeros, no bare point and no plus sign.
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = fraction.filter(|fraction| !fraction.is_empty());
    let fraction = fraction.map_or_else(String::new, |fraction| format!(".{fraction}"));
    let exponent = exponent.map_or_else(String::new, |exponent| format!("e{exponent}"));
    Some(format!("{sign}{whole}{fraction}{exponent}"))
}

/// Writes pairs of `\uD83D\uDE00` as the character they stand for: JSON spells characters beyond the
/// sixteenth bit so, and YAML refuses the halves.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    let half = |at: usize, first: u32| {
        let digits = text.get(at + 2..at + 6)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        (text.get(at..at + 2)? == "\\u" && (first..first + 0x400).contains(&value)).then_some(value)
    };
    let mut joined = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find('\\') {
        let at = from + found;
        if let (Some(high), Some(low)) = (half(at, 0xd800), half(at + 6, 0xdc00)) {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            joined.push_str(&text[copied..at]);
            joined.extend(char::from_u32(code));
            copied = at + 12;
            from = copied;
        } else {
            // What a backslash escapes is no backslash itself.
            from = at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    joined.push_str(&text[copied..]);
    Cow::Owned(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        read(text).unwrap().json()
    }

    fn refused(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn json_keeps_its_numbers_and_the_order_of_its_keys() {
        let text = r#"{"z":1.10,"a":123456789012345678901234567890,"m":[1e400,-0,null,true,"a\/\u00e9\n"]}"#;

        assert_eq!(
            json(text),
            r#"{"z":1.10,"a":123456789012345678901234567890,"m":[1e400,-0,null,true,"a/é\n"]}"#
        );
    }

    #[test]
    fn plain_scalars_are_what_yaml_1_2_says() {
        let text = "[no, 012, +5, .5, 5., 0x1f, 0o17, ~, True, 1e3, -1.5E-3, 2026-01-02, 1_000, 0b1, '5', 1:2]";

        assert_eq!(
            json(text),
            r#"["no",12,5,0.5,5,31,15,null,true,1e3,-1.5e-3,"2026-01-02","1_000","0b1","5","1:2"]"#
        );
        assert_eq!(json("[!!str 5]"), r#"["5"]"#);
        assert_eq!(json("1: a\ntrue: b"), r#"{"1":"a","true":"b"}"#);
        assert!(refused("[.nan]").contains("line 1, column 2"));
        assert!(refused("[!x 5]").contains("tag"));
    }

    #[test]
    fn a_pair_of_surrogates_is_one_character() {
        assert_eq!(json(r#"["\ud83d\ude00", "\\ud83d\\ude00"]"#), r#"["😀","\\ud83d\\ude00"]"#);
        assert_eq!(join_surrogates(r"\u0041é\"), r"\u0041é\");
    }

    #[test]
    fn an_alias_repeats_its_anchor_within_bounds() {
        assert_eq!(json("a: &x {k: [1]}\nb: *x"), r#"{"a":{"k":[1]},"b":{"k":[1]}}"#);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let inner = level - 1;
            bomb.push_str(&format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{inner}"); 10].join(",")
            ));
        }
        assert!(refused(&bomb).contains("more than 2000000 values"));
        assert!(refused(&"[".repeat(100)).contains("nested more than 64 deep"));
    }

    #[test]
    fn a_mistake_has_its_place() {
        assert_eq!(
            refused("a: 1\nb: 2\na: 3"),
            "line 3, column 1: `a` is given twice, first at line 1, column 1"
        );
        assert!(refused("a: [1, 2").starts_with("line "), "{}", refused("a: [1, 2"));
        assert!(refused("a: b\n--- \nc: d").contains("second document"));
        assert!(refused("a:\n  <<: {b: 1}").contains("merge keys"));
        assert_eq!(refused(""), "the file is empty");
        assert_eq!(refused("# nothing"), "the file is empty");
    }
}
