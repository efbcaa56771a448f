//! The rules of this repository that a program can check.
//!
//! Each rule is a function from the files to its findings. They look at text only, so they run in
//! well under a second; what needs a compiler is a lint in `Cargo.toml` or `clippy.toml`.

mod length;
mod reference;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

pub use length::report;
use source::Source;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The text files of the workspace, by path relative to its root.
#[derive(Debug, Default)]
pub struct Files {
    texts: BTreeMap<String, String>,
    rust: BTreeMap<String, Source>,
}

impl Files {
    /// Reads everything below `root` but build products and hidden directories other than ours.
    pub fn read(root: &Path) -> Self {
        let mut files = Self::default();
        let mut directories = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                if path.is_dir() {
                    let is_ours = !name.starts_with('.') || name == ".ci" || name == ".cargo";
                    if is_ours && name != "target" && !name.starts_with("mutants.out") {
                        directories.push(path);
                    }
                } else if let Ok(text) = fs::read_to_string(&path) {
                    files.add(&relative(root, &path), text);
                }
            }
        }
        files
    }

    fn add(&mut self, path: &str, text: String) {
        if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
            self.rust.insert(path.to_owned(), Source::parse(&text));
        }
        self.texts.insert(path.to_owned(), text);
    }

    fn texts<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.rsplit_once('.').is_some_and(|(_, e)| e == extension))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root).unwrap_or(path).to_owned();
    path.to_string_lossy().replace('\\', "/")
}

/// Everything that breaks a rule in the workspace at `root`, by file and line.
pub fn findings(root: &Path) -> Vec<Finding> {
    findings_in(&Files::read(root))
}

fn findings_in(files: &Files) -> Vec<Finding> {
    let mut found = Vec::new();
    let rules = [
        no_references,
        no_unfinished_code,
        no_ambient_time_or_chance,
        statements_are_named_and_used,
        topics_have_a_suite,
        dependencies_point_one_way,
        unsafe_code_is_in_one_crate,
        no_pending_snapshots,
        the_readme_lists_every_command,
    ];
    for rule in rules {
        rule(files, &mut |file: &str, line: usize, what: String| {
            found.push(Finding { file: file.to_owned(), line, what });
        });
    }
    found.sort();
    found
}

type Report<'a> = &'a mut dyn FnMut(&str, usize, String);

/// Comments and documents speak of the code as it is, not of the talk that led to it.
fn no_references(files: &Files, report: Report<'_>) {
    for (path, source) in &files.rust {
        for (line, comment) in &source.comments {
            for (offset, text) in comment.lines().enumerate() {
                if let Some(word) = reference::find(text) {
                    report(path, line + offset, told_history(&word));
                }
            }
        }
    }
    for (path, text) in files.texts("md") {
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = reference::find(line) {
                report(path, index + 1, told_history(&word));
            }
        }
    }
    for (extension, mark) in [("sql", "--"), ("toml", "#")] {
        for (path, text) in files.texts(extension) {
            for (index, line) in text.lines().enumerate() {
                let comment = line.split_once(mark).map_or("", |(_, comment)| comment);
                if let Some(word) = reference::find(comment) {
                    report(path, index + 1, told_history(&word));
                }
            }
        }
    }
}

fn told_history(word: &str) -> String {
    format!("`{word}`: say what holds now and why; history belongs to the commit")
}

/// Nothing is left for later inside the code.
fn no_unfinished_code(files: &Files, report: Report<'_>) {
    for (path, source) in &files.rust {
        for (line, comment) in &source.comments {
            if let Some(word) = words(comment).find(|word| matches!(*word, "TODO" | "FIXME")) {
                report(path, *line, format!("`{word}` in a comment: do it, or say what holds"));
            }
        }
        for call in ["todo!", "unimplemented!"] {
            for line in source.lines_with(call) {
                report(path, line, format!("`{call}` in code"));
            }
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Time, ids and chance come in as arguments. The few functions that bring them are marked with
/// `#[expect(clippy::disallowed_methods, …)]`; in the machine there is none. Tokio's timer, which
/// tests can stop, is for waits and no engine time.
fn no_ambient_time_or_chance(files: &Files, report: Report<'_>) {
    /// Lines between the mark and the call it excuses.
    const MARK_REACHES: usize = 12;
    let sources = ["SystemTime::now", "Instant::now", "Uuid::new_v4", "thread_rng", "rand::rng"];
    for (path, source) in &files.rust {
        let is_engine = path.starts_with("crates/ff-core/src/")
            || path.starts_with("crates/ff-backend-") && path.contains("/src/");
        if !is_engine {
            continue;
        }
        let in_machine = path.starts_with("crates/ff-core/src/machine/");
        let marks: Vec<usize> = source.lines_with("clippy::disallowed_methods").collect();
        for call in sources.into_iter().chain(in_machine.then_some("now_v7")) {
            for line in source.lines_with(call) {
                let text = source.code.lines().nth(line - 1).unwrap_or_default();
                let is_marked = !in_machine
                    && (text.contains("tokio::time::Instant::now")
                        || marks.iter().any(|mark| (*mark..mark + MARK_REACHES).contains(&line)));
                if !is_marked {
                    report(path, line, format!("`{call}`: take it as an argument"));
                }
            }
        }
    }
}

/// Each statement has one file, one name on its first line, and one place in the code.
fn statements_are_named_and_used(files: &Files, report: Report<'_>) {
    for (path, text) in files.texts("sql") {
        let Some((krate, statement)) = path.split_once("/sql/") else { continue };
        let name = statement.trim_end_matches(".sql");
        let first = format!("-- {}", name.replace('/', "_"));
        if text.lines().next() != Some(first.as_str()) {
            report(path, 1, format!("the first line is not `{first}`"));
        }
        let (topic, verb) = name.split_once('/').unwrap_or(("", name));
        let uses: usize = files
            .rust
            .iter()
            .filter(|(file, _)| file.starts_with(&format!("{krate}/src/")))
            .map(|(_, source)| uses_of(source, topic, verb))
            .sum();
        if uses != 1 {
            report(path, 1, format!("the crate names this statement {uses} times, not once"));
        }
    }
}

/// On how many lines a file names the statement `topic/verb`, its tests apart: whole, as a path, or
/// by its verb where the topic stands beside it.
fn uses_of(source: &Source, topic: &str, verb: &str) -> usize {
    let tests_begin = source.lines_with("mod tests {").next().unwrap_or(usize::MAX);
    let (name, directory) = (format!("{topic}/{verb}"), format!("/sql/{topic}/"));
    let path = format!("{directory}{verb}.sql");
    let texts = || source.strings.iter().filter(|(line, _)| *line < tests_begin);
    let has_topic = texts().any(|(_, text)| text.ends_with(&directory));
    texts()
        .filter(|(_, text)| *text == name || text.ends_with(&path) || has_topic && text == verb)
        .map(|(line, _)| line)
        .collect::<BTreeSet<_>>()
        .len()
}

/// What the machine decides, the suite that every backend joins tries out.
fn topics_have_a_suite(files: &Files, report: Report<'_>) {
    let mut topics = BTreeMap::new();
    for (path, source) in &files.rust {
        if !path.starts_with("crates/ff-core/src/machine/") {
            continue;
        }
        let names: BTreeSet<usize> = source.lines_with("const NAME: &'static str").collect();
        for (line, text) in &source.strings {
            if names.contains(line)
                && let Some((topic, _)) = text.split_once('.')
            {
                topics.entry(topic.to_owned()).or_insert((path.as_str(), *line));
            }
        }
    }
    for (topic, (path, line)) in topics {
        let suite = format!("crates/ff-conformance/src/{topic}");
        let exists = files
            .rust
            .keys()
            .any(|file| *file == format!("{suite}.rs") || file.starts_with(&format!("{suite}/")));
        if !exists {
            report(path, line, format!("the suite has no topic `{topic}`: add {suite}"));
        }
    }
}

/// `core ← backends ← everything else`; a backend never sees another one.
fn dependencies_point_one_way(files: &Files, report: Report<'_>) {
    for (path, text) in files.texts("toml") {
        let Some(krate) =
            path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        let mut is_shipped = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                is_shipped = line == "[dependencies]" || line == "[build-dependencies]";
                continue;
            }
            let Some(wanted) = line.split(['.', ' ', '=']).next().filter(|_| is_shipped) else {
                continue;
            };
            let is_backend = krate.starts_with("ff-backend-");
            let allowed = match krate {
                "ff-core" => !wanted.starts_with("ff-"),
                _ if is_backend => !wanted.starts_with("ff-") || wanted == "ff-core",
                _ => true,
            };
            if !allowed {
                report(path, index + 1, format!("`{krate}` may not depend on `{wanted}`"));
            }
        }
    }
}

/// The workspace forbids `unsafe`, every member takes its lints, and one crate, which is not shipped, does not.
fn unsafe_code_is_in_one_crate(files: &Files, report: Report<'_>) {
    const EXCEPTION: &str = "crates/ff-faultvfs/Cargo.toml";
    let has = |text: &str, section: &str, wanted: &str| {
        let lines = text.lines().skip_while(|line| *line != section).skip(1);
        lines.take_while(|line| !line.starts_with('[')).any(|line| line == wanted)
    };
    for (path, text) in files.texts("toml") {
        if path == "Cargo.toml" {
            if !has(text, "[workspace.lints.rust]", "unsafe_code = \"forbid\"") {
                report(path, 1, "the workspace does not forbid `unsafe`".to_owned());
            }
        } else if path == EXCEPTION {
            if !has(text, "[package]", "publish = false") {
                report(
                    path,
                    1,
                    "the crate with `unsafe` is for tests: `publish = false`".to_owned(),
                );
            }
        } else if path.ends_with("/Cargo.toml") && !has(text, "[lints]", "workspace = true") {
            report(path, 1, format!("takes no lints of the workspace; only {EXCEPTION} does not"));
        }
    }
    let shipped = |path: &str| path.starts_with("crates/") && path.ends_with("/Cargo.toml");
    for (path, text) in files.texts("toml").filter(|(path, _)| shipped(path)) {
        let mut is_for_tests = false;
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                is_for_tests = line == "[dev-dependencies]";
            } else if line.starts_with("ff-faultvfs") && !is_for_tests {
                report(path, index + 1, "`ff-faultvfs` is for tests only".to_owned());
            }
        }
    }
}

/// A snapshot that somebody has not looked at is no test.
fn no_pending_snapshots(files: &Files, report: Report<'_>) {
    for path in files.texts.keys().filter(|path| path.ends_with(".snap.new")) {
        report(path, 1, "a snapshot waits for review: `cargo insta review`".to_owned());
    }
}

/// The README's table names every command of `ff` that its help names.
fn the_readme_lists_every_command(files: &Files, report: Report<'_>) {
    const MAIN: &str = "crates/ff-cli/src/main.rs";
    let (Some(main), Some(readme)) = (files.rust.get(MAIN), files.texts.get("README.md")) else {
        return;
    };
    let lines = main.code.lines().enumerate();
    let commands = lines.skip_while(|(_, line)| !line.starts_with("enum Command"));
    let mut is_hidden = false;
    for (index, line) in commands.skip(1).take_while(|(_, line)| !line.starts_with('}')) {
        let variant = line.trim().trim_end_matches(',');
        let variant = variant.split_once('(').map_or(variant, |(variant, _)| variant);
        is_hidden |= variant.starts_with("#[") && line.contains("hide = true");
        if variant.is_empty() || !variant.chars().all(char::is_alphanumeric) {
            continue;
        }
        if std::mem::take(&mut is_hidden) {
            continue;
        }
        let command = format!("`ff {}", variant.to_lowercase());
        if !readme.contains(&command) {
            report(MAIN, index + 1, format!("README.md does not mention {command}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_by(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = Files::default();
        for (path, text) in files {
            all.add(path, (*text).to_owned());
        }
        findings_in(&all).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_comment_that_tells_history_is_found_and_code_is_not() {
        let found = broken_by(&[
            ("crates/a/src/lib.rs", "// See #412.\nlet x = \"#412\"; // fine\n/// Stage 2.\n"),
            ("crates/a/sql/t/put.sql", "-- t_put\n-- after PR 7\n"),
            ("crates/a/src/statement.rs", "const PUT: &str = \"t/put\";"),
            ("docs/x.md", "fine\nissue 3 says so\n"),
        ]);

        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].starts_with("crates/a/sql/t/put.sql:2: `PR 7`"), "{found:?}");
        assert!(found[1].starts_with("crates/a/src/lib.rs:1: `#412`"), "{found:?}");
        assert!(found[2].starts_with("crates/a/src/lib.rs:3: `Stage 2`"), "{found:?}");
        assert!(found[3].starts_with("docs/x.md:2: `issue 3`"), "{found:?}");
    }

    #[test]
    fn code_left_for_later_is_found() {
        let found = broken_by(&[(
            "crates/a/src/lib.rs",
            "// TODO: later\nfn f() { todo!() }\nfn g() { unimplemented!(\"no\") }\nlet s = \"todo!\";\n",
        )]);

        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_clock_is_read_only_under_a_mark_and_never_in_the_machine() {
        let marked =
            "#[expect(clippy::disallowed_methods, reason = \"r\")]\nfn f() { Instant::now() }";
        let found = broken_by(&[
            ("crates/ff-core/src/clock.rs", marked),
            ("crates/ff-core/src/machine/x.rs", marked),
            ("crates/ff-backend-a/src/lib.rs", "let now = SystemTime::now();"),
            ("crates/ff-cli/src/main.rs", "let now = SystemTime::now();"),
            ("crates/ff-core/src/a.rs", "let begun = tokio::time::Instant::now();"),
            ("crates/ff-core/src/b.rs", "let begun = Instant::now();"),
        ]);

        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_statement_is_named_on_its_first_line_and_used_once() {
        let statement = ("crates/a/src/statement.rs", "const A: &str = \"t/put\"; // \"t/put\"");
        assert!(broken_by(&[("crates/a/sql/t/put.sql", "-- t_put\n"), statement]).is_empty());

        assert_eq!(broken_by(&[("crates/a/sql/t/put.sql", "-- put\n"), statement]).len(), 1);
        assert_eq!(broken_by(&[("crates/b/sql/t/put.sql", "-- t_put\n"), statement]).len(), 1);
        let twice = ("crates/a/src/x.rs", "include_str!(\"../sql/t/put.sql\")");
        assert_eq!(
            broken_by(&[("crates/a/sql/t/put.sql", "-- t_put\n"), statement, twice]).len(),
            1
        );
    }

    #[test]
    fn unsafe_code_outside_its_one_crate_is_found() {
        let root = ("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n");
        let member = ("crates/a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n");
        let exception =
            ("crates/ff-faultvfs/Cargo.toml", "[package]\npublish = false\n[lints.rust]\n");
        assert_eq!(broken_by(&[root, member, exception]), Vec::<String>::new());

        let allowed = ("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"warn\"\n");
        assert_eq!(broken_by(&[allowed]).len(), 1);
        let without = ("crates/b/Cargo.toml", "[package]\n[lints.rust]\nunused = \"warn\"\n");
        assert_eq!(broken_by(&[root, without, exception]).len(), 1);
        let published = ("crates/ff-faultvfs/Cargo.toml", "[package]\n");
        assert_eq!(broken_by(&[root, published]).len(), 1);
        let tested =
            "[dev-dependencies]\nff-faultvfs.workspace = true\n[lints]\nworkspace = true\n";
        assert!(broken_by(&[("crates/c/Cargo.toml", tested)]).is_empty());
        let shipped = tested.replace("dev-dependencies", "dependencies");
        assert_eq!(broken_by(&[("crates/c/Cargo.toml", &shipped)]).len(), 1);
    }

    #[test]
    fn a_topic_without_a_suite_is_found() {
        let machine = (
            "crates/ff-core/src/machine/lane.rs",
            "const NAME: &'static str = \"lane.set_state\";",
        );
        assert_eq!(broken_by(&[machine]).len(), 1);
        assert!(broken_by(&[machine, ("crates/ff-conformance/src/lane.rs", "")]).is_empty());
        assert!(broken_by(&[machine, ("crates/ff-conformance/src/lane/mod.rs", "")]).is_empty());
    }

    #[test]
    fn a_backend_that_depends_on_another_is_found() {
        let manifest = "[dependencies]\nff-core.workspace = true\nff-backend-b.workspace = true\n\
                        [dev-dependencies]\nff-backend-c.workspace = true\n\
                        [lints]\nworkspace = true\n";
        assert_eq!(broken_by(&[("crates/ff-backend-a/Cargo.toml", manifest)]).len(), 1);
        assert_eq!(broken_by(&[("crates/ff-core/Cargo.toml", manifest)]).len(), 2);
        assert!(broken_by(&[("crates/ff-cli/Cargo.toml", manifest)]).is_empty());
    }

    #[test]
    fn a_command_that_the_readme_forgets_is_found() {
        let main = "enum Command {\n    /// Text.\n    Work(A),\n    Verify,\n    \
                    #[command(hide = true)]\n    Helper,\n}\n";
        let found = broken_by(&[
            ("crates/ff-cli/src/main.rs", main),
            ("README.md", "| `ff work -- COMMAND` | works |"),
        ]);

        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`ff verify`"), "{found:?}");
    }

    #[test]
    fn a_snapshot_that_waits_for_review_is_found() {
        assert_eq!(broken_by(&[("crates/a/tests/snapshots/x.snap.new", "")]).len(), 1);
    }
}
