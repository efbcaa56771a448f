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
