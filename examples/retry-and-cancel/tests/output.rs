//! The example says what its page shows.

use std::process::Command;

#[test]
fn it_retries_and_cancels() {
    let output = Command::new(env!("CARGO_BIN_EXE_example-retry-and-cancel")).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\
flaky, attempt 1: failed, it is tried again
flaky, attempt 2: failed, it is tried again
flaky, attempt 3: completed
flaky: the result is `at last`
slow: a worker has it
slow: the worker still has it: false
slow: what it reports is refused: true
slow: cancelled, nobody needs it any more
"
    );
}
