//! Waiting for answers, through the binary.

mod support;

use serde_json::{Value, json};
use support::{Process, Store};

/// The binary, quoted for a shell.
const FF: &str = concat!("'", env!("CARGO_BIN_EXE_ff"), "'");

/// Starts a worker whose command suspends as the flags say, and then answers its signals.
fn asking(store: &Store, flags: &str) -> Process {
    store.worker(
        &[],
        &format!(
            "if [ -z \"$FF_SIGNALS_FILE\" ]; then {FF} task suspend {flags}; exit; fi; \
             cat \"$FF_SIGNALS_FILE\""
        ),
    )
}

fn signals(store: &Store, id: &str) -> Vec<Value> {
    store.wait_for_state(id, "completed");
    serde_json::from_str(&store.run(&["exec", "result", id]).ok()).expect("a list of signals")
}

#[test]
fn an_approval_lets_the_same_attempt_go_on_with_the_answer_at_hand() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let _worker = asking(&store, "--for approval --timeout 2d");
    store.wait_for_state(&id, "suspended");

    let waiting = store.run(&["wait", "list", "--json"]).json();
    assert_eq!(waiting["waiting"][0]["id"], id.as_str());
    assert_eq!(waiting["waiting"][0]["reason_code"], "waiting_for_approval");
    let told = store.run(&["wait", "approve", &id, "--as", "ada", "-m", "go", "--json"]).json();
    assert_eq!((&told["resumes"], &told["by"]), (&json!(true), &json!("ada")));

    let signals = signals(&store, &id);
    assert_eq!((&signals[0]["name"], &signals[0]["by"]), (&json!("approved"), &json!("ada")));
    assert_eq!(signals[0]["payload"], json!({"message": "go"}));
    assert_eq!(store.get(&id)["attempts"].as_array().unwrap().len(), 1);
    let error = store.run(&["wait", "approve", &id]).refused(4);
    assert!(error.contains("waits for no answer") && error.contains("it is completed"), "{error}");
    store.verify();
}

#[test]
fn two_people_are_two_and_one_person_twice_is_not() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let _worker = asking(&store, "--for approval --people 2");
    store.wait_for_state(&id, "suspended");

    let approve = |name: &str| store.run(&["wait", "approve", &id, "--as", name, "--json"]).json();
    assert_eq!(approve("ada")["resumes"], false);
    assert_eq!(approve("ada")["effect"], "duplicate");
    assert_eq!(approve("bob")["resumes"], true);

    assert_eq!(signals(&store, &id).len(), 2);
}

#[test]
fn several_waitpoints_are_told_apart_by_their_keys() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let _worker = asking(&store, "--key legal --key finance");
    store.wait_for_state(&id, "suspended");

    let error = store.run(&["wait", "answer", &id, "1"]).refused(4);
    assert!(error.contains("legal") && error.contains("finance"), "{error}");
    store.run(&["wait", "answer", &id, "1", "--key", "sales"]).refused(3);
    store.run(&["wait", "answer", &id, "1", "--key", "legal"]).ok();
    assert_eq!(store.get(&id)["public_state"], "suspended");
    store.run(&["wait", "answer", &id, "2", "--key", "finance", "--signal", "paid"]).ok();

    let signals = signals(&store, &id);
    let names: Vec<_> = signals.iter().map(|signal| &signal["name"]).collect();
    assert_eq!(names, ["answered", "paid"]);
}

#[test]
fn a_token_signals_its_waitpoint_and_a_wrong_one_nothing() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let _worker = asking(&store, "--for callback --timeout 1h");
    store.wait_for_state(&id, "suspended");

    let found = store.run(&["wait", "token", &id, "--json"]).json();
    let (waitpoint, token) =
        (found["waitpoint"].as_str().unwrap(), found["token"].as_str().unwrap());
    let wrong = format!("{}0", &token[..token.len() - 1].replace('a', "b"));
    let error = store.run(&["wait", "signal", &id, waitpoint, "--token", &wrong]).refused(2);
    assert!(error.contains("token") && !error.contains(token), "{error}");
    assert_eq!(store.get(&id)["public_state"], "suspended");
    store.run(&["wait", "signal", &id, waitpoint, r#"{"paid":1}"#, "--token", token]).ok();

    let signals = signals(&store, &id);
    assert_eq!(
        (&signals[0]["payload"]["paid"], &signals[0]["by"]),
        (&json!(1), &json!("external"))
    );
}

#[test]
fn a_signal_may_come_before_the_work_suspends() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let script = format!(
        "set -- $({FF} task waitpoint --key cb); \
         {FF} wait signal $FF_EXECUTION_ID $1 '\"early\"' --token $2 > /dev/null; \
         {FF} task suspend --use $1 --key cb 2> /dev/null; echo $?; {FF} task signals"
    );
    store.work(&script).ok();

    let result = store.run(&["exec", "result", &id]).ok();
    assert!(result.starts_with("9\n") && result.contains("\"early\""), "{result}");
}

#[test]
fn a_used_waitpoint_is_waited_for_under_its_own_key() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let script = format!(
        "[ -z \"$FF_SIGNALS_FILE\" ] || exec cat \"$FF_SIGNALS_FILE\"; \
         set -- $({FF} task waitpoint); \
         {FF} task suspend --use $1 --key other 2> '{}'; [ $? = 2 ] || exit 65; \
         {FF} task suspend --use $1",
        store.path("refused").display()
    );
    let _worker = store.worker(&[], &script);
    store.wait_for_state(&id, "suspended");

    let told = std::fs::read_to_string(store.path("refused")).unwrap();
    assert!(told.contains("opened with --key callback"), "{told}");
    let found = store.run(&["wait", "token", &id, "--json"]).json();
    assert_eq!(found["key"], "callback");
    store.run(&["wait", "answer", &id, "1", "--key", "callback"]).ok();
    assert_eq!(signals(&store, &id)[0]["payload"], json!(1));
}

#[test]
fn two_waitpoints_of_one_key_could_not_be_told_apart_and_are_refused() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    store.work(&format!("{FF} task suspend --key a --key a 2>&1; echo $?")).ok();

    let result = store.run(&["exec", "result", &id]).ok();
    assert!(result.contains("`a` is given twice") && result.ends_with("2\n"), "{result}");
}

#[test]
fn an_answer_that_is_too_large_is_told_the_limit_that_holds() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let _worker = asking(&store, "--for callback");
    store.wait_for_state(&id, "suspended");
    std::fs::write(store.path("large"), vec![b'x'; 64 * 1024 + 1]).unwrap();

    let long = "x".repeat(64 * 1024);
    for line in [
        &["wait", "answer", &id, "@large", "--payload-limit", "16MiB"][..],
        &["wait", "approve", &id, "--message", &long],
        &["wait", "signal", &id, &id, "@large", "--token", "t"],
    ] {
        let error = store.run(line).refused(2);
        assert!(error.contains("65536") && error.contains("a reference"), "{error}");
        assert!(!error.contains("--payload-limit"), "{error}");
    }
    store.run_with(&["wait", "answer", &id, "-"], &[b'x'; 64 * 1024]).ok();
}

#[test]
fn an_answer_after_the_answer_is_told_that_there_was_one() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    store.work(&format!("{FF} task suspend")).ok();
    store.run(&["wait", "approve", &id, "--as", "ada"]).ok();

    let error = store.run(&["wait", "approve", &id, "--as", "ada"]).refused(4);

    assert!(error.contains("it was answered already, or has not asked yet"), "{error}");
}

#[test]
fn a_timeout_does_what_was_asked() {
    let store = Store::new();
    for (action, state) in [("fail", "failed"), ("cancel", "cancelled"), ("expire", "expired")] {
        let id = store.submit(&["k"]);
        let _worker = asking(&store, &format!("--timeout 100ms --on-timeout {action}"));
        store.wait_for_state(&id, state);
    }
    let id = store.submit(&["k"]);
    let _worker = asking(&store, "--timeout 100ms --on-timeout resume");
    assert_eq!(signals(&store, &id)[0]["category"], "timeout");
    store.verify();
}

#[test]
fn the_wait_outlives_its_worker_and_the_signals_file_is_gone_afterwards() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let mut worker = asking(&store, "--for approval");
    store.wait_for_state(&id, "suspended");
    worker.kill();

    store.run(&["wait", "approve", &id, "--as", "ada"]).ok();
    store.work("echo \"$FF_SIGNALS_FILE\"; stat -c %a \"$FF_SIGNALS_FILE\"").ok();

    let result = store.run(&["exec", "result", &id]).ok();
    let (path, mode) = result.trim().split_once('\n').unwrap();
    assert_eq!(mode, "600");
    assert!(!std::path::Path::new(path).exists(), "{path}");
}
