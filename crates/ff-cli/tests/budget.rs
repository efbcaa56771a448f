//! Budgets, quotas and workers, through the binary.

mod support;

use serde_json::{Value, json};
use support::Store;

/// The binary, quoted for a shell.
const FF: &str = concat!("'", env!("CARGO_BIN_EXE_ff"), "'");

fn budget(store: &Store, name: &str) -> Value {
    store.run(&["budget", "get", name, "--json"]).json()
}

/// A gate of an explanation.
fn gate(found: &Value, name: &str) -> Value {
    let gates = found["gates"].as_array().expect("an explanation has gates");
    gates.iter().find(|gate| gate["gate"] == name).expect("the gate is there").clone()
}

#[test]
fn a_budget_is_made_once_and_a_different_one_is_a_conflict() {
    let store = Store::new();
    let id = store.run(&["budget", "create", "team", "--limit", "tokens=10", "-q"]).ok();
    assert!(id.starts_with("bud_"), "{id}");

    assert_eq!(store.run(&["budget", "create", "team", "--limit", "tokens=10", "-q"]).ok(), id);
    let error = store.run(&["budget", "create", "team", "--limit", "tokens=11"]).refused(4);
    assert!(error.contains("with other limits"), "{error}");
    store.run(&["budget", "create", "x", "--limit", "tokens"]).refused(2);
    store.run(&["budget", "get", "nobody"]).refused(3);
    assert_eq!(budget(&store, &id.trim()[..20])["name"], "team");
}

#[test]
fn spending_tells_by_its_exit_code_what_became_of_it() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "t=10", "--soft", "t=5"]).ok();
    let spend = |amount: &str| store.run(&["budget", "spend", "b", amount]).code;

    assert_eq!([spend("t=4"), spend("t=2"), spend("t=5"), spend("t=4")], [0, 7, 8, 7]);
    store.run(&["budget", "spend", "b", "t=0", "--key", "k"]).refused(7);
    store.run(&["budget", "spend", "b", "t=9", "--key", "k"]).ok();

    let found = budget(&store, "b");
    assert_eq!(found["dimensions"][0]["usage"], 10);
    assert_eq!(
        (&found["breach_count"], &found["dimensions"][0]["hard_limit"]),
        (&json!(1), &json!(10))
    );
    store.run(&["budget", "reset", "b"]).ok();
    assert_eq!(budget(&store, "b")["dimensions"][0]["usage"], 0);
    store.verify();
}

#[test]
fn what_does_not_fit_is_kept_for_the_execution_that_spent_it_and_else_for_nobody() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "tokens=5"]).ok();
    let id = store.submit(&["k"]);
    let beyond = || budget(&store, "b")["dimensions"][0]["overage"].clone();

    let told = store.run(&["budget", "spend", "b", "tokens=11"]).refused(8);
    assert!(told.contains("nothing is counted; --execution"), "{told}");
    assert_eq!(beyond(), 0);
    let told = store.run(&["budget", "spend", "b", "tokens=11", "--execution", &id]).refused(8);
    assert!(told.contains("kept as spent beyond the limit"), "{told}");
    assert_eq!(beyond(), 11);
    store.verify();
}

#[test]
fn a_dimension_that_is_given_twice_is_refused_and_nothing_is_written() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "t=10", "--soft", "t=5"]).ok();
    let before = budget(&store, "b");
    for line in [
        &["budget", "spend", "b", "t=1", "t=2"][..],
        &["budget", "spend", "b", "u=1", "t=2", "u=1"],
        &["budget", "topup", "b", "t=1", "t=2"],
        &["budget", "limit", "b", "t=11", "t=12"],
        &["budget", "limit", "b", "--soft", "t=1", "t=2"],
        &["budget", "create", "c", "--limit", "t=5", "--limit", "t=6"],
        &["budget", "create", "c", "--limit", "t=5", "--soft", "t=1", "--soft", "t=2"],
    ] {
        let error = store.run(line).refused(2);
        assert!(error.contains("is given twice") && error.contains("fix: "), "{line:?}: {error}");
    }
    let id = store.submit(&["k", "--budget", "b"]);
    store.work(&format!("{FF} task spend t=1 t=2 2>&1; echo $?")).ok();
    let result = store.run(&["exec", "result", &id]).ok();
    assert!(result.contains("is given twice") && result.ends_with("2\n"), "{result}");

    assert_eq!(budget(&store, "b")["dimensions"], before["dimensions"]);
    store.run(&["budget", "get", "c"]).refused(3);
}

#[test]
fn a_report_answers_the_same_keys_whatever_became_of_it() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "t=10", "--soft", "t=5"]).ok();
    let spend = |line: &[&str]| -> Value {
        let line = [&["budget", "spend", "b", "--json"], line].concat();
        serde_json::from_str(&store.run(&line).out).unwrap()
    };
    let told = |outcome, dimension: Value, usage: Value, limit: Value, code| json!({"outcome": outcome, "dimension": dimension, "usage": usage, "limit": limit, "exit_code": code});

    let none = || Value::Null;
    assert_eq!(spend(&["t=4", "--key", "k"]), told("ok", none(), none(), none(), 0));
    assert_eq!(spend(&["t=4", "--key", "k"]), told("already_applied", none(), none(), none(), 0));
    assert_eq!(spend(&["t=2"]), told("soft_breach", json!("t"), json!(6), json!(5), 7));
    assert_eq!(spend(&["t=5"]), told("hard_breach", json!("t"), json!(6), json!(10), 8));
    store.run(&["budget", "create", "c", "--limit", "t=10"]).ok();
    let several = store.run(&["budget", "get", "b", "c", "--json"]).json();
    assert_eq!((&several[0]["name"], &several[1]["name"]), (&json!("b"), &json!("c")));
}

#[test]
fn a_limit_of_zero_is_none_and_is_shown_as_none() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "t=10"]).ok();
    let told = store.run(&["budget", "limit", "b", "t=0"]).ok();
    assert_eq!(told, "b t: 0 spent, without a hard limit\n");
    store.run(&["budget", "spend", "b", "t=1000"]).ok();
    for line in [&["budget", "list"][..], &["budget", "get", "b"]] {
        let table = store.run(line).ok();
        let row = table.lines().find(|line| line.contains("1000")).unwrap();
        assert!(row.contains(" - ") && !row.contains('%'), "{table}");
    }
    assert!(store.run(&["budget", "create", "--help"]).ok().contains("0 for none"));
    assert!(store.run(&["budget", "--help"]).ok().contains("0 takes a limit away"));
}

#[test]
fn a_part_of_a_quota_without_a_limit_is_no_evidence() {
    let store = Store::new();
    store.run(&["quota", "create", "--concurrent", "1", "--lane", "slots"]).ok();
    store.run(&["quota", "create", "--rate", "1/1h", "--lane", "rate"]).ok();
    for (lane, part, absent) in
        [("slots", "1 of 1 run", "started within"), ("rate", "1 of 1 started within", "run,")]
    {
        store.submit(&["k", "--lane", lane]);
        let second = store.submit(&["k", "--lane", lane]);
        let script = format!("{FF} exec why {second}");
        let flags = ["work", "--lane", lane, "--max", "1", "-c", "2", "--json", "--", "sh", "-c"];
        let why = store.path("why");
        let script = format!(
            "until {script} | grep -q CLOSED; do sleep 0.05; done; {script} > '{}'",
            why.display()
        );
        store.run(&[&flags[..], &[&script]].concat()).ok();

        let why = std::fs::read_to_string(why).unwrap();
        assert!(why.contains(part) && !why.contains(absent), "{why}");
    }
}

#[test]
fn a_top_up_of_a_dimension_that_is_not_there_is_refused() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "tokens=10", "--limit", "usd=1"]).ok();

    let error = store.run(&["budget", "topup", "b", "tokens=1", "typo=1"]).refused(3);

    assert!(error.contains("no dimension `typo`") && error.contains("tokens, usd"), "{error}");
    assert_eq!(budget(&store, "b")["dimensions"].as_array().unwrap().len(), 2);
    assert_eq!(budget(&store, "b")["dimensions"][0]["hard_limit"], 10);
    store.run(&["budget", "limit", "b", "new=1"]).ok();
}

#[test]
fn what_one_execution_was_charged_can_be_given_back() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "t=10"]).ok();
    let id = store.submit(&["k"]);

    store.run(&["budget", "spend", "b", "t=3", "--execution", &id]).ok();
    store.run(&["budget", "spend", "b", "t=2"]).ok();
    assert_eq!(budget(&store, "b")["dimensions"][0]["usage"], 5);
    store.run(&["budget", "release", "b", &id]).ok();
    assert_eq!(budget(&store, "b")["dimensions"][0]["usage"], 2);
}

#[test]
fn a_spent_budget_stops_work_and_a_top_up_lets_it_go_on() {
    let store = Store::new();
    store.run(&["budget", "create", "b", "--limit", "t=100", "--on-hard", "suspend"]).ok();
    let id = store.submit(&["agent", "--budget", "b"]);
    let next = store.submit(&["agent", "--budget", "b"]);
    let script = format!(
        "for step in 1 2 3; do {FF} task spend t=40 --key $FF_EXECUTION_ID/$step 2> /dev/null || exit 75; \
         done; echo $FF_ATTEMPT"
    );
    let _worker = store.worker(&["-c", "1"], &script);
    store.wait_for_state(&id, "rate_limited");

    let why = store.run(&["exec", "why", &id, "--json"]).json();
    let closed = gate(&why, "budget");
    assert_eq!(closed["verdict"], "closed", "{why}");
    assert_eq!(closed["evidence"][0]["hard_limit"], 100, "{why}");
    let shown = budget(&store, "b")["id"].as_str().expect("an id").to_owned();
    assert_eq!(closed["evidence"][0]["budget_id"], shown.as_str(), "{why}");
    assert!(why["summary"].as_str().expect("a sentence").contains(&shown), "{why}");
    let table = store.run(&["exec", "why", &id]).ok();
    assert!(table.contains("CLOSED") && table.contains("of 100 spent"), "{table}");
    let found = budget(&store, "b");
    assert_eq!(found["overages"][0]["amount"], 40, "{found}");

    store.run(&["budget", "topup", "b", "t=200"]).ok();
    store.wait_for_state(&id, "completed");
    store.wait_for_state(&next, "completed");
    assert_eq!(store.run(&["exec", "result", &id]).ok(), "1\n");
    assert_eq!(budget(&store, "b")["dimensions"][0]["usage"], 240);
    store.verify();
}

#[test]
fn the_only_budget_of_a_task_need_not_be_named() {
    let store = Store::new();
    store.run(&["budget", "create", "one", "--limit", "t=9"]).ok();
    store.run(&["budget", "create", "two", "--limit", "t=9"]).ok();
    let script =
        format!("{FF} task spend t=1 2>&1; echo $?; {FF} task spend two t=2 2>&1; echo $?");
    let bound = store.submit(&["k", "--budget", "one"]);
    let free = store.submit(&["k"]);
    let both = store.submit(&["k", "--budget", "one,two"]);
    store.work(&script).ok();

    assert_eq!(store.run(&["exec", "result", &bound]).ok(), "0\n0\n");
    let result = store.run(&["exec", "result", &free]).ok();
    assert!(result.contains("bound to no budget") && result.contains("\n3\n"), "{result}");
    let result = store.run(&["exec", "result", &both]).ok();
    assert!(result.contains("several budgets") && result.contains("\n4\n"), "{result}");
    assert_eq!(budget(&store, "one")["dimensions"][0]["usage"], 1);
    assert_eq!(budget(&store, "two")["dimensions"][0]["usage"], 6);
}

#[test]
fn a_quota_lets_so_many_run_and_says_who_holds_its_slots() {
    let store = Store::new();
    let quota = store.run(&["quota", "create", "--concurrent", "1", "--lane", "mail", "-q"]).ok();
    let quota = quota.trim();
    let first = store.submit(&["k", "--lane", "mail"]);
    let second = store.submit(&["k", "--lane", "mail"]);
    let go = store.path("go");
    let _worker = store.worker(
        &["--lane", "mail", "-c", "2"],
        &format!("while [ ! -e '{}' ]; do sleep 0.05; done", go.display()),
    );
    store.wait_for_state(&first, "active");
    store.wait_for_state(&second, "rate_limited");

    let list = store.run(&["quota", "list", "--json"]).json();
    let found = &list["quotas"][0];
    assert_eq!(
        (&found["id"], &found["active"], &found["waiting"]),
        (&json!(quota), &json!(1), &json!(1))
    );
    let lane = store.run(&["lane", "list", "--json"]).json()["lanes"][0].clone();
    assert_eq!(
        (&lane["lane_id"], &lane["waiting"], &lane["parked"], &lane["active"]),
        (&json!("mail"), &json!(0), &json!(1), &json!(1))
    );
    assert!(lane["oldest_waiting_at"].is_i64(), "{lane}");
    let table = store.run(&["lane", "list"]).ok();
    assert!(table.contains("LIMITED") && table.contains(" ago"), "{table}");
    let why = store.run(&["exec", "why", &second]).ok();
    assert!(why.contains(&first) && why.contains("1 of 1 run"), "{why}");
    assert!(why.lines().next().expect("a sentence").contains(quota), "{why}");

    std::fs::write(&go, "").unwrap();
    store.wait_for_state(&second, "completed");
    store.run(&["quota", "unbind", "--lane", "mail"]).ok();
    assert_eq!(store.run(&["quota", "list", "--json"]).json()["quotas"][0]["lanes"], json!([]));
    store.run(&["quota", "bind", &quota[..20], "--lane", "mail"]).ok();
    store.run(&["quota", "bind", "quo_00", "--lane", "mail"]).refused(3);
    store.verify();
}

#[test]
fn a_worker_is_listed_while_it_lives() {
    let store = Store::new();
    store.submit(&["k"]);
    let mut worker = store.worker(&["--lane", "a,b", "--capability", "gpu"], "true");
    let mut found = Value::Null;
    support::eventually("the worker is listed", || {
        found = store.run(&["worker", "list", "--json"]).json();
        !found["workers"].as_array().unwrap().is_empty()
    });

    assert_eq!(found["workers"][0]["lanes"], json!(["a", "b"]));
    assert_eq!(found["workers"][0]["capabilities"], json!(["gpu"]));
    worker.signal("TERM");
    worker.exit_code();
    let after = store.run(&["worker", "list"]).ok();
    assert!(after.contains("no worker is alive"), "{after}");
}
