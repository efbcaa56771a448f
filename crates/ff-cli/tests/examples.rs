//! The examples that are scripts say what their pages show. Those that are programs have their own tests.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Runs a script with the binary on its path.
fn run(script: &str) -> support::Answer {
    let binary = Path::new(env!("CARGO_BIN_EXE_ff"));
    let mut path = binary.parent().expect("the binary is in a directory").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .arg(examples().join(script))
        .env("PATH", path)
        .env_remove("FF_USER")
        .output()
        .expect("there is a shell");
    support::Answer::of(output)
}

#[test]
fn a_deployment_waits_for_two_people() {
    assert_eq!(
        run("deploy-with-approval/run.sh").ok(),
        "\
after ada: \"public_state\":\"suspended\"
ada said so before: nothing changed
\"public_state\":\"completed\"
\"public_state\":\"failed\"
deployed \"version 7\", approved by ada bob
"
    );
}
