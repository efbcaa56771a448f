//! Why an execution is not running, through the binary: the sentence, the table, the document.

mod support;

use serde_json::Value;
use support::Store;

/// The binary, quoted for a shell.
const FF: &str = concat!("'", env!("CARGO_BIN_EXE_ff"), "'");

/// The text and the document.
fn why(store: &Store, id: &str) -> (String, Value) {
    let text = store.run(&["exec", "why", id]).ok();
    (text, store.run(&["exec", "why", id, "--json"]).json())
}

/// A gate of an explanation.
fn gate<'a>(found: &'a Value, name: &str) -> &'a Value {
    let gates = found["gates"].as_array().expect("an explanation has gates");
    gates.iter().find(|gate| gate["gate"] == name).expect("the gate is there")
}

/// The facts of one kind at a gate.
fn facts<'a>(found: &'a Value, name: &str, kind: &str) -> Vec<&'a Value> {
    let evidence = gate(found, name)["evidence"].as_array().expect("a list");
    evidence.iter().filter(|fact| fact["kind"] == kind).collect()
}

#[test]
fn it_begins_with_a_sentence_and_names_what_is_missing() {
    let store = Store::new();
    let id = store.submit(&["k", "--delay", "1h"]);
    let told = store.run(&["exec", "why", &id]).ok();
    assert!(told.lines().next().unwrap().contains("delay"), "{told}");
    assert!(told.contains("in 59m"), "{told}");

    let id = store.submit(&["k", "--capability", "gpu"]);
    let (told, found) = why(&store, &id);
    assert!(told.contains("no worker ever registered"), "{told}");
    assert!(told.contains("no worker offers gpu"), "{told}");
    assert_eq!(gate(&found, "capability")["verdict"], "unknown", "{found}");
    assert_eq!(facts(&found, "capability", "missing_capability")[0]["token"], "gpu", "{found}");
    store.run(&["exec", "why", "exe_00"]).refused(3);
}

#[test]
fn a_suspension_shows_where_an_answer_goes_and_until_when() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let script = format!(
        "if [ -z \"$FF_SIGNALS_FILE\" ]; then {FF} task suspend --for approval --timeout 2d; fi"
    );
    let _worker = store.worker(&[], &script);
    store.wait_for_state(&id, "suspended");

    let (told, found) = why(&store, &id);

    assert!(told.contains("suspended") && told.contains("times out in 1d 23h"), "{told}");
    let waitpoints = facts(&found, "suspension", "waitpoint");
    let waitpoint = waitpoints[0]["waitpoint_id"].as_str().expect("an id");
    assert!(waitpoint.starts_with("wtp_") && told.contains(waitpoint), "{told}");
    let suspension = facts(&found, "suspension", "suspension")[0];
    let length = |from: &str, to: &str| suspension[to].as_i64().zip(suspension[from].as_i64());
    let (until, since) = length("since", "until").expect("two instants");
    assert!((172_700_000..=172_800_000).contains(&(until - since)), "{suspension}");
    assert_eq!(found["summary"].as_str(), told.lines().next(), "{found}");
}

#[test]
fn a_node_names_what_it_waits_for_and_that_its_flow_was_cancelled() {
    let store = Store::new();
    let file = r#"{"flow": "f", "nodes": {"a": {"kind": "k"}, "b": {"kind": "k", "needs": "a"}}}"#;
    let flow = store.run_with(&["flow", "run", "-", "--no-wait"], file.as_bytes()).ok();
    let flow = flow.trim();
    let graph = store.run(&["flow", "get", flow, "--json"]).json();
    let id = |place: usize| graph["nodes"][place]["id"].as_str().expect("an id").to_owned();
    let (upstream, blocked) = (id(0), id(1));

    let (told, found) = why(&store, &blocked);
    assert!(told.lines().next().expect("a sentence").contains(&upstream), "{told}");
    assert_eq!(facts(&found, "dependency", "edge")[0]["upstream"], upstream.as_str(), "{found}");

    store.run(&["flow", "cancel", flow]).ok();
    let (told, found) = why(&store, &blocked);
    assert!(told.lines().next().expect("a sentence").contains("flow was cancelled"), "{told}");
    assert_eq!(facts(&found, "flow", "flow_cancelled")[0]["flow_id"], flow, "{found}");
    assert!(told.contains(flow), "{told}");
}

#[test]
fn workers_that_are_busy_or_gone_are_named() {
    let store = Store::new();
    let first = store.submit(&["k"]);
    let second = store.submit(&["k"]);
    let go = store.path("go");
    let mut worker = store
        .worker(&["-c", "1"], &format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display()));
    store.wait_for_state(&first, "active");

    let (told, found) = why(&store, &second);
    assert!(told.lines().next().expect("a sentence").contains("busy"), "{told}");
    assert_eq!(facts(&found, "capability", "workers")[0]["standing"], "all_busy", "{found}");
    let name = facts(&found, "capability", "worker")[0]["worker_instance_id"].clone();
    assert!(told.contains(name.as_str().expect("a name")), "{told}");
    assert_eq!(found["position"]["ahead"], 0, "{found}");

    std::fs::write(&go, "").unwrap();
    store.wait_for_state(&second, "completed");
    worker.signal("TERM");
    worker.exit_code();
    let third = store.submit(&["k"]);
    let (told, found) = why(&store, &third);
    assert_eq!(facts(&found, "capability", "workers")[0]["standing"], "none_alive", "{found}");
    assert!(told.contains("is gone"), "{told}");
}
