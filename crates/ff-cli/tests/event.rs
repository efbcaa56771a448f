//! What operators changed, through the binary: listed, and followed live.

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::{Process, Store, eventually, lines};

impl Store {
    fn set_priority(&self, id: &str, priority: u32) {
        self.run(&["exec", "priority", id, &priority.to_string()]).ok();
    }

    /// A follower whose stdout is the file that is answered too; it already follows.
    fn watch(&self, flags: &[&str]) -> (Process, PathBuf, PathBuf) {
        let (out, err) = (self.path("watch.out"), self.path("watch.err"));
        let mut line = vec!["event", "watch"];
        line.extend(flags);
        let mut command = self.ff(&line);
        command.stdout(std::fs::File::create(&out).expect("a file"));
        command.stderr(std::fs::File::create(&err).expect("a file"));
        (Process(command.spawn().expect("it starts")), out, err)
    }
}

fn numbers(list: &Value) -> Vec<i64> {
    let events = list["events"].as_array().expect("a list");
    events.iter().map(|event| event["event_id"].as_i64().expect("a number")).collect()
}

#[test]
fn a_list_tells_each_change_with_its_subject() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let empty = store.run(&["event", "list"]).ok();
    assert!(empty.contains("no operator changed anything"), "{empty}");
    let file = r#"{"flow": "f", "nodes": {"a": {"kind": "k"}, "b": {"kind": "k", "needs": "a"}}}"#;
    let flow = store.run_with(&["flow", "run", "-", "--no-wait"], file.as_bytes()).ok();
    let flow = flow.trim();
    store.set_priority(&id, 70);
    store.run(&["flow", "cancel", flow]).ok();
    store.work("true").ok();
    store.run(&["exec", "replay", &id]).ok();

    let list = store.run(&["event", "list", "--json"]).json();
    let [priority, cancel, replay] = &list["events"].as_array().unwrap()[..] else {
        panic!("{list}");
    };
    assert_eq!((&priority["kind"], &priority["event_id"]), (&"priority_changed".into(), &1.into()));
    assert_eq!(priority["execution_id"], id.as_str());
    assert_eq!((&priority["old_priority"], &priority["new_priority"]), (&0.into(), &70.into()));
    assert!(priority["at"].as_i64().is_some_and(|at| at > 1_600_000_000_000), "{priority}");
    assert_eq!(
        (&cancel["kind"], &cancel["flow_id"]),
        (&"flow_cancel_requested".into(), &flow.into())
    );
    assert_eq!(cancel["member_count"], 2, "{cancel}");
    assert_eq!(
        (&replay["kind"], &replay["execution_id"]),
        (&"replayed".into(), &id.as_str().into())
    );
    assert_eq!((&replay["branch"], &replay["groups_reset"]), (&"normal".into(), &Value::Null));
    assert_eq!(list["next_after"], 3, "{list}");

    let told = store.run(&["events", "ls"]).ok();
    let rows: Vec<_> = told.lines().collect();
    assert!(rows[0].trim_start().starts_with("EVENT") && rows.len() == 4, "{told}");
    assert!(rows[1].contains("priority_changed") && rows[1].ends_with("0 to 70"), "{told}");
    assert!(rows[2].contains(flow) && rows[2].contains("members reached: 2"), "{told}");
    assert!(rows[3].contains(&id) && rows[3].contains("replayed"), "{told}");
    assert_eq!(store.run(&["-q", "event", "list"]).ok(), "1\n2\n3\n");
}

#[test]
fn a_list_is_bounded_and_goes_on_where_it_ended() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    for priority in 1..=7 {
        store.set_priority(&id, priority);
    }
    let list = |flags: &[&str]| {
        let mut line = vec!["event", "list", "--json"];
        line.extend(flags);
        let list = store.run(&line).json();
        (numbers(&list), list["next_after"].as_i64().unwrap())
    };

    assert_eq!(list(&[]), ((1..=7).collect(), 7));
    assert_eq!(list(&["-n", "2"]), (vec![6, 7], 7), "the newest");
    assert_eq!(list(&["-n", "2", "--after", "0"]), (vec![1, 2], 2));
    assert_eq!(list(&["-n", "5", "--after", "2"]), ((3..=7).collect(), 7));
    assert_eq!(list(&["--all", "--after", "2"]), ((3..=7).collect(), 7));
    assert_eq!(list(&["-n", "0", "--after", "2"]), (vec![], 2));
    assert_eq!(list(&["--after", "7"]), (vec![], 7));
    let told = store.run(&["event", "list", "-n", "2", "--after", "3"]);
    assert!(told.err.contains("--after 5 goes on"), "{}", told.err);
    assert!(store.run(&["event", "list", "-n", "2", "--after", "5"]).err.is_empty());

    let told = store.run(&["event", "list", "--after", "8"]).refused(2);
    assert!(told.contains("newest event is 7") && told.contains("ff event list --all"), "{told}");
    store.run(&["event", "watch", "--after", "8"]).refused(2);
    store.run(&["event", "list", "--after", "-1"]).refused(2);
    store.run(&["event", "list", "--after", "x"]).refused(2);
}

#[test]
fn a_follower_hears_of_changes_by_others_and_says_where_to_go_on() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    store.set_priority(&id, 1);
    store.set_priority(&id, 2);
    let (mut watch, out, err) = store.watch(&["--after", "1"]);
    eventually("what came after the event is printed", || lines(&out).len() == 1);

    store.set_priority(&id, 3);
    eventually("what others change is printed", || lines(&out).len() == 2);
    watch.signal("INT");

    assert_eq!(watch.exit_code(), 130);
    let said = lines(&out);
    assert!(said[0].starts_with("2  ") && said[0].ends_with("1 to 2"), "{said:?}");
    assert!(said[1].starts_with("3  ") && said[1].contains(&id), "{said:?}");
    let told = lines(&err).join("\n");
    assert!(told.contains("`ff event watch --after 3` goes on"), "{told}");
}

#[test]
fn a_follower_begins_now_and_prints_documents() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    store.set_priority(&id, 1);
    let (mut watch, out, err) = store.watch(&["--json"]);
    // It says nothing before the first change, and follows from a moment that only it knows.
    let mut priority = 1;
    eventually("a change is printed", || {
        priority += 1;
        store.set_priority(&id, priority);
        !lines(&out).is_empty()
    });
    watch.signal("TERM");

    assert_eq!(watch.exit_code(), 130);
    let first: Value = serde_json::from_str(&lines(&out)[0]).unwrap();
    assert_eq!((&first["kind"], &first["execution_id"]), (&"priority_changed".into(), &id.into()));
    assert!(first["event_id"].as_i64().is_some_and(|event| event > 1), "{first}");
    let error: Value = serde_json::from_str(&lines(&err).join("")).unwrap();
    assert_eq!(error["exit_code"], 130);
}

#[test]
fn a_follower_ends_with_its_reader() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    store.set_priority(&id, 1);
    let mut watch = Process(store.ff(&["event", "watch", "--after", "0"]).spawn().unwrap());
    drop(watch.0.stdout.take());
    // A pipe without a reader is met by the first write.
    assert_eq!(watch.exit_code(), 0);
}

#[test]
fn without_a_store_there_is_nothing_to_follow() {
    let store = Store::new();
    store.run(&["event", "list"]).refused(3);
    store.run(&["event", "watch"]).refused(3);
}
