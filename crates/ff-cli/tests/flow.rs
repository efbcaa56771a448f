//! Flows through the binary.

mod support;

use serde_json::json;
use support::Store;

#[test]
fn a_file_that_describes_no_flow_is_refused_with_every_mistake() {
    let store = Store::new();
    std::fs::write(
        store.path("bad.yaml"),
        "nodes:\n  a: {kind: k, retrys: 2}\n  b: {kind: k, needs: [c]}\n  c: {kind: k, needs: [b, d]}\n",
    )
    .unwrap();

    let error = store.run(&["flow", "run", "bad.yaml"]).refused(2);
    for part in ["line 2, column 16: node `a`", "did you mean `retries`?", "b → c → b", "needs `d`"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = store.run(&["flow", "run", "bad.yaml", "--json"]).refused(2);
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["code"], "bad_flow");
    assert_eq!(error["details"].as_array().unwrap().len(), 3);
    store.run(&["flow", "run", "missing.yaml"]).refused(3);
    assert!(!store.path("test.db").exists(), "nothing was submitted");
}

#[test]
fn a_flow_file_can_be_checked_without_a_store() {
    let store = Store::new();
    let flow =
        json!({"flow": "f", "nodes": {"a": {"kind": "k"}, "b": {"kind": "k", "needs": "a"}}});
    std::fs::write(store.path("f.json"), flow.to_string()).unwrap();

    let told = store.run(&["flow", "run", "f.json", "--check", "--json"]).json();
    assert_eq!(told, json!({"flow": "f", "nodes": 2, "edges": 1}));
    let told = store.run_with(&["flow", "run", "-", "--check"], flow.to_string().as_bytes()).ok();
    assert_eq!(told, "f is sound: 2 nodes, 1 edges\n");
}

#[test]
fn a_check_refuses_what_a_submit_would_refuse() {
    let store = Store::new();
    let nodes = |nodes: serde_json::Value| json!({"flow": "f", "nodes": nodes}).to_string();
    let chain = |count: usize, needs: usize| {
        let node = |place: usize| {
            let needs: Vec<_> =
                (place.saturating_sub(needs)..place).map(|n| format!("n{n}")).collect();
            (format!("n{place}"), json!({"kind": "k", "needs": needs}))
        };
        nodes((0..count).map(node).collect::<serde_json::Map<_, _>>().into())
    };
    std::fs::write(store.path("heavy"), vec![b'x'; 1 << 20]).unwrap();
    let heavy =
        (0..65).map(|place| (format!("n{place}"), json!({"kind": "k", "payload_file": "heavy"})));
    let tags: serde_json::Map<_, _> =
        (0..65).map(|tag| (format!("a.t{tag}"), json!("x"))).collect();
    for (file, part) in [
        (chain(600, 250), "edges; at most 100000"),
        (nodes(heavy.collect::<serde_json::Map<_, _>>().into()), "the limit is 67108864 bytes"),
        (
            json!({"flow": "f", "tags": tags, "nodes": {"a": {"kind": "k"}}}).to_string(),
            "65 tags; the limit is 64",
        ),
        (
            nodes(json!({"a": {"kind": "k"}, "b": {"kind": "k", "deadline": "99999d"}})),
            "node `b`: execution_deadline_at is more than ten years ahead",
        ),
        (
            nodes(json!({"a": {"kind": "k", "capabilities": ["a,b"]}})),
            "node `a`: a capability is malformed",
        ),
        (nodes(json!({"a": {"kind": "k\0"}})), "the kind has a NUL"),
    ] {
        let checked = store.run_with(&["flow", "run", "-", "--check"], file.as_bytes()).refused(2);
        assert!(checked.contains(part), "{part}: {checked}");
        let refused = store.run_with(&["flow", "run", "-", "-d"], file.as_bytes()).refused(2);
        assert_eq!(refused, checked);
    }
    assert_eq!(store.run(&["flow", "list", "--json"]).json()["flows"], json!([]));
}

#[test]
fn a_graph_is_drawn_for_programs_too() {
    let store = Store::new();
    let file = "nodes:\n  a: {kind: k}\n  b: {kind: k}\n  c: {kind: k, needs: [a, b], join: any}\n";
    let flow = submit(&store, file);

    let drawn = store.run(&["flow", "graph", &flow, "--json"]).json();

    assert_eq!((&drawn["id"], &drawn["is_truncated"]), (&json!(flow), &json!(false)));
    let id = |place: usize| drawn["nodes"][place]["id"].clone();
    assert_eq!(
        drawn["edges"],
        json!([
            {"upstream": id(0), "downstream": id(2), "state": "unsatisfied"},
            {"upstream": id(1), "downstream": id(2), "state": "unsatisfied"},
        ])
    );
    let join = json!({"kind": "any_of", "on_satisfied": "let_run"});
    assert_eq!(drawn["groups"], json!([{"downstream": id(2), "join": join, "needs": 2}]));
    let several = store.run(&["flow", "get", &flow, &flow, "--json"]).json();
    assert_eq!(several[1]["id"], flow.as_str());
}

/// Runs everything that is claimable, each node answering its kind, except that `bad` fails.
const WORK: &str =
    r#"[ "$FF_KIND" = bad ] && exit 65; [ "$FF_KIND" = cat ] && exec cat; echo $FF_KIND"#;

/// The state of each node by its name.
fn states(flow: &serde_json::Value) -> Vec<(String, String)> {
    let nodes = flow["nodes"].as_array().expect("a flow has nodes");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    nodes.iter().map(|node| (text(&node["name"]), text(&node["state"]))).collect()
}

fn submit(store: &Store, file: &str) -> String {
    store.run_with(&["flow", "run", "-", "--no-wait"], file.as_bytes()).ok().trim().to_owned()
}

#[test]
fn a_flow_runs_in_the_order_of_its_needs_and_passes_results_on() {
    let store = Store::new();
    let flow = submit(
        &store,
        "nodes: {a: {kind: first}, b: {kind: cat, payload_from: a}, c: {kind: cat, needs: [a], payload: x}}",
    );
    assert!(flow.starts_with("flo_"), "{flow}");
    store.work(WORK).ok();

    let found = store.run(&["flow", "get", &flow[..20], "--json"]).json();
    assert_eq!(found["state"], "completed");
    let node = |name: &str| {
        let nodes = found["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(store.run(&["exec", "result", &node("b")]).ok(), "first\n");
    assert_eq!(store.run(&["exec", "result", &node("c")]).ok(), "\"x\"");
    let list = store.run(&["flow", "list", "--json"]).json();
    assert_eq!(list["flows"][0]["id"], flow.as_str());
    store.verify();
}

#[test]
fn following_a_flow_ends_with_its_outcome() {
    let store = Store::new();
    let _worker = store.worker(&[], WORK);
    std::fs::write(store.path("good.yaml"), "nodes: {a: {kind: k}, b: {kind: k, needs: a}}")
        .unwrap();
    std::fs::write(store.path("bad.yaml"), "nodes: {a: {kind: bad}, b: {kind: k, needs: a}}")
        .unwrap();

    let told = store.run(&["flow", "run", "good.yaml"]).ok();
    assert!(told.contains("b completed") && told.contains("good flo_"), "{told}");

    let error = store.run(&["flow", "run", "bad.yaml"]).refused(5);
    assert!(error.contains("ended as failed") && error.contains("a: exit code 65"), "{error}");
    let hint = error.split("`ff exec replay ").nth(1).unwrap().split('`').next().unwrap();
    assert!(hint.ends_with(" --state failed,skipped"), "{error}");
    let hint: Vec<_> =
        ["exec", "replay", "-q", "--yes"].into_iter().chain(hint.split(' ')).collect();
    let replayed = store.run(&hint).ok();
    assert_eq!(replayed.lines().count(), 2, "the failed node and the one behind it");

    let answer = store.run(&["flow", "run", "bad.yaml", "--json"]);
    let last: serde_json::Value = serde_json::from_str(answer.out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (answer.code, &last["event"], &last["state"]),
        (5, &json!("flow"), &json!("failed"))
    );
    assert!(
        answer.out.lines().any(|line| line.contains("\"name\":\"b\"") && line.contains("skipped"))
    );
}

#[test]
fn a_flow_that_has_ended_is_not_cancelled_and_is_pointed_to() {
    let store = Store::new();
    let flow = submit(&store, "nodes: {a: {kind: k}}");
    store.work(WORK).ok();

    let error = store.run(&["flow", "cancel", &flow, "--yes"]).refused(4);

    assert!(error.contains(&format!("`ff flow get {flow}` shows how")), "{error}");
}

#[test]
fn following_ends_in_time_and_the_flow_goes_on() {
    let store = Store::new();
    let flow = submit(&store, "nodes: {a: {kind: k}}");

    let error = store.run(&["flow", "watch", &flow, "--timeout", "300ms"]).refused(6);
    assert!(error.contains("has not ended in time"), "{error}");
    store.work(WORK).ok();
    store.run(&["flow", "watch", &flow]).ok();
}

#[test]
fn a_failure_that_a_quorum_does_without_does_not_fail_the_flow() {
    let store = Store::new();
    let flow = submit(
        &store,
        "nodes:\n  a: {kind: bad}\n  b: {kind: k}\n  c: {kind: k}\n  d: {kind: k, needs: [a, b, c], join: {quorum: 2}}",
    );
    store.work(WORK).ok();

    let found = store.run(&["flow", "get", &flow, "--json"]).json();
    assert_eq!(found["state"], "completed", "{found}");
    assert!(states(&found).contains(&("a".to_owned(), "failed".to_owned())));

    let flow = submit(&store, "nodes: {a: {kind: bad}, b: {kind: k, needs: a}}");
    store.work(WORK).ok();
    let found = store.run(&["flow", "get", &flow, "--json"]).json();
    assert_eq!(found["state"], "failed", "{found}");
    store.verify();
}

#[test]
fn a_cancelled_flow_takes_its_nodes_along() {
    let store = Store::new();
    let flow = submit(&store, "nodes: {a: {kind: k}, b: {kind: k, needs: a}}");

    let told = store.run(&["flow", "cancel", &flow, "--wait", "30s", "--json"]).json();
    assert_eq!(told["cancelled"][0]["members"], 2);
    let found = store.run(&["flow", "get", &flow, "--json"]).json();
    assert_eq!(found["state"], "cancelled");
    assert!(states(&found).iter().all(|(_, state)| state == "cancelled"), "{found}");
    store.run(&["flow", "cancel", &flow]).refused(4);
    store.run(&["flow", "get", "flo_00"]).refused(3);
    store.run(&["flow", "get", "exe_00"]).refused(2);
    store.verify();
}

#[test]
fn a_flow_is_drawn_in_every_way() {
    let store = Store::new();
    let flow = submit(&store, "flow: f\nnodes: {a: {kind: k}, b: {kind: k, needs: a}}");

    let text = store.run(&["flow", "graph", &flow]).ok();
    assert!(text.starts_with("f flo_") && text.contains("└─ b"), "{text}");
    let dot = store.run(&["flow", "graph", &flow, "--dot"]).ok();
    assert!(dot.contains("n0 -> n1 [style=dashed];"), "{dot}");
    let svg = store.run(&["flow", "graph", &flow, "--svg"]).ok();
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"), "{svg}");
}

#[test]
fn a_child_joins_the_flow_that_spawned_it() {
    let store = Store::new();
    let flow = submit(&store, "nodes: {a: {kind: split}}");
    let ff = env!("CARGO_BIN_EXE_ff");
    let script = format!(
        "case $FF_KIND in split) \
           '{ff}' task spawn part 1 --join --name one --key k1 && \
           '{ff}' task spawn part 1 --join --name one --key k1 || exit; \
           '{ff}' task wait-children && exit; \
           [ $? = 9 ] && [ $FF_LEASE_EPOCH = 2 ] && echo joined;; *) cat;; esac"
    );
    store.work(&script).ok();

    let found = store.run(&["flow", "get", &flow, "--json"]).json();
    assert_eq!(
        states(&found),
        [("one".to_owned(), "completed".to_owned()), ("a".to_owned(), "completed".to_owned())]
    );
    assert_eq!(found["state"], "completed");
    store.verify();
}

#[test]
fn the_members_of_a_flow_are_listed_and_steered_by_its_id() {
    let store = Store::new();
    let ours = submit(&store, "nodes: {a: {kind: k}, b: {kind: k}}");
    submit(&store, "nodes: {c: {kind: k}}");
    store.submit(&["k"]);
    let listed = |flags: &[&str]| -> usize {
        let list =
            store.run(&[&["exec", "list", "--json", "--flow", &ours], flags].concat()).json();
        list["executions"].as_array().expect("a list").len()
    };

    assert_eq!((listed(&[]), listed(&["--state", "waiting"]), listed(&["-n", "1"])), (2, 2, 1));
    store.run(&["exec", "cancel", "--flow", &ours, "--yes"]).ok();
    assert_eq!(listed(&["--state", "cancelled"]), 2);
    assert_eq!(store.run(&["exec", "list", "--state", "waiting", "-q"]).ok().lines().count(), 2);
    store.run(&["exec", "list", "--flow", "flo_00"]).refused(3);
    store.run(&["exec", "list", "--flow", "exe_00"]).refused(2);
}
