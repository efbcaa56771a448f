//! The example says what its page shows.

use std::process::Command;

#[test]
fn the_budget_stops_it_and_a_top_up_lets_it_go_on() {
    let output = Command::new(env!("CARGO_BIN_EXE_example-agent-loop")).output().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\
step 1: 40 tokens
step 2: 40 tokens
step 3: 40 tokens do not fit, 80 of 100 are spent
the agent is done: false
it is rate_limited, and no worker can take it: true
topped up: 80 of 200 tokens are spent
it goes on, in attempt 1 as before
step 3: 40 tokens
step 4: 40 tokens
the agent is done: true
spent in all: 160 tokens
"
    );
}
