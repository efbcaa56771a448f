//! The pages of the guide are true: what they show is run, and says what they show.
//!
//! A block `console` has commands after `$ ` (and `> ` where one goes on) and below each what it prints,
//! both streams. `…` stands for anything within a line. A block whose first line is `# file: NAME` is
//! written to that file first. One shell runs a page from top to bottom, so variables stay.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ends the output of one command; no page prints it.
const END: char = '\u{1e}';

#[derive(Debug, Default)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

#[derive(Debug, Default)]
struct Page {
    files: Vec<(String, String)>,
    steps: Vec<Step>,
}

fn read(text: &str) -> Page {
    let mut page = Page::default();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
        let name = block.first().and_then(|(_, line)| line.strip_prefix("# file: "));
        if let Some(name) = name {
            let text = block.iter().fold(String::new(), |text, (_, line)| text + line + "\n");
            page.files.push((name.to_owned(), text));
        } else if language == "console" {
            page.steps.extend(steps(&block));
        }
    }
    page
}

fn steps(block: &[(usize, &str)]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in block {
        if let Some(command) = line.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step { line: number + 1, command, expected: Vec::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("line {number}: output of nothing"));
        match line.strip_prefix("> ") {
            Some(more) if step.expected.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            _ => step.expected.push((*line).to_owned()),
        }
    }
    steps
}

/// Whether a line is what the page says, where `…` stands for anything.
fn fits(expected: &str, actual: &str) -> bool {
    let parts: Vec<_> = expected.trim_end().split('…').collect();
    let actual = actual.trim_end();
    let [first, rest @ ..] = &parts[..] else { return false };
    let Some(mut left) = actual.strip_prefix(first) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for part in middle {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(name);
    let page = read(&std::fs::read_to_string(&path).expect("the page is there"));
    assert!(!page.steps.is_empty(), "{name} shows nothing");
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (file, text) in &page.files {
        std::fs::write(directory.path().join(file), text).expect("a file of the page");
    }
    let mut script = String::new();
    for step in &page.steps {
        // The exit code of a command is there for the next one.
        writeln!(script, "{}\n__code=$?; printf '\\036\\n'; (exit $__code)", step.command)
            .expect("a string takes everything");
    }
    let mut search = PathBuf::from(env!("CARGO_BIN_EXE_ff"));
    search.pop();
    let mut search = search.into_os_string();
    search.push(":");
    search.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir(directory.path())
        .env("PATH", search)
        .env("USER", "ada")
        .env_remove("FF_STORE")
        .env_remove("FF_USER")
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = said.split(END);
    for step in &page.steps {
        let actual = parts.next().unwrap_or_default();
        let actual = actual.strip_prefix('\n').unwrap_or(actual);
        let lines: Vec<_> = actual.lines().collect();
        let same = lines.len() == step.expected.len()
            && step.expected.iter().zip(&lines).all(|(expected, line)| fits(expected, line));
        assert!(
            same,
            "{name}, line {}: {}\n--- the page says\n{}\n--- it says\n{actual}",
            step.line,
            step.command,
            step.expected.join("\n")
        );
    }
}

#[test]
fn anything_fits_where_the_page_leaves_it_out() {
    assert!(fits("a … b", "a 12 b") && fits("exe_…", "exe_018f") && fits("a", "a "));
    assert!(fits("… x … z", "w x y z"));
    assert!(!fits("a … b", "a 12 c") && !fits("a", "ab") && !fits("…x…y", "y x"));
}

#[test]
fn a_page_is_read_in_blocks() {
    let page =
        read("# T\n```yaml\n# file: f.yaml\na: 1\n```\n```console\n$ a\nout\n$ b \\\n>   c\n```\n");

    assert_eq!(page.files, [("f.yaml".to_owned(), "# file: f.yaml\na: 1\n".to_owned())]);
    assert_eq!((page.steps[0].command.as_str(), page.steps[0].line), ("a", 7));
    assert_eq!(page.steps[0].expected, ["out"]);
    assert_eq!(page.steps[1].command, "b \\\n  c");
}

#[test]
fn flows() {
    check("flows.md");
}

#[test]
fn budgets() {
    check("budgets.md");
}

#[test]
fn waiting() {
    check("waiting.md");
}

#[test]
fn streams() {
    check("streams.md");
}
