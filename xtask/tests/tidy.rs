//! The rules of this repository, as a test.

use xtask::tidy;

#[test]
fn the_repository_keeps_its_rules() {
    let findings = tidy::findings(&xtask::root());

    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "\n{}", lines.join("\n"));
}
