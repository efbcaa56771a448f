//! The example says what its page shows.

use std::process::Command;

#[test]
fn it_reads_what_it_can_and_joins_by_quorum() {
    let output = Command::new(env!("CARGO_BIN_EXE_example-document-pipeline")).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\
read broken.txt: stream did not contain valid UTF-8
read budget.txt: 8 words
read flow.txt: 16 words
read lease.txt: 14 words
read stream.txt: 16 words
index: 54 words in 4 files
broken.txt: failed
budget.txt: completed
flow.txt: completed
lease.txt: completed
stream.txt: completed
index: completed
the flow has completed
"
    );
}
