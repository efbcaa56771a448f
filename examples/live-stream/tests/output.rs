//! The example says what its page shows.

use std::process::Command;

#[test]
fn it_streams_and_follows() {
    let output = Command::new(env!("CARGO_BIN_EXE_example-live-stream")).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\
frame: \"Every \"
frame: \"word \"
frame: \"is \"
frame: \"a \"
frame: \"frame.\"
frame: \"\\n\"
followed live: Every word is a frame.
kept: 8 frames, closed by attempt_success
summary: {\"words\":6}
"
    );
}
