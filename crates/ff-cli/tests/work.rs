//! Workers: what becomes of an attempt, and that nothing is lost or left over when they stop.

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::{Store, eventually, is_alive, lines};

fn attempts(execution: &Value) -> &[Value] {
    execution["attempts"].as_array().expect("an execution has a list of attempts")
}

/// Appends its process id and sleeps: what a test can count and kill.
fn long_task(pids: &Path) -> String {
    format!("echo $$ >> '{}'; exec sleep 300", pids.display())
}

#[test]
fn the_command_knows_what_it_works_on() {
    let store = Store::new();
    let id = store.submit(&["mail", "1", "--lane", "post"]);
    let script =
        "echo $FF_EXECUTION_ID $FF_KIND $FF_LANE $FF_ATTEMPT $FF_LEASE_EPOCH $FF_STORE $FF_HANDLE";
    store.run(&["work", "--lane", "default,post", "--until-empty", "--", "sh", "-c", script]).ok();

    let result = store.run(&["exec", "result", &id]).ok();
    let words: Vec<_> = result.split_whitespace().collect();
    assert_eq!(words[..5], [&id, "mail", "post", "1", "1"]);
    assert!(words[5].starts_with("sqlite:/") && words[5].ends_with("test.db"), "{result}");
    assert!(words[6].len() > 32);
}

#[test]
fn a_failure_is_retried_by_policy_and_then_final() {
    let store = Store::new();
    let recovers = store.submit(&["a", "1", "--retries", "3", "--backoff", "fixed:1ms"]);
    let fails = store.submit(&["b", "1", "--retries", "2", "--backoff", "fixed:1ms"]);
    let never = store.submit(&["b", "1"]);
    let script = r#"if [ "$FF_KIND" = a ] && [ "$FF_ATTEMPT" = 3 ]; then cat; else echo "broken $FF_ATTEMPT" >&2; exit 1; fi"#;
    let _worker = store.worker(&[], script);

    let found = store.wait_for_state(&recovers, "completed");
    assert_eq!(attempts(&found).len(), 3);
    let found = store.wait_for_state(&fails, "failed");
    assert_eq!(attempts(&found).len(), 3);
    assert!(found["reason"].as_str().unwrap().contains("exit code 1: broken 3"), "{found}");
    assert_eq!(attempts(&store.wait_for_state(&never, "failed")).len(), 1);
    store.verify();
}

#[test]
fn a_permanent_exit_code_is_never_retried() {
    let store = Store::new();
    let id = store.submit(&["k", "1", "--retries", "5", "--backoff", "fixed:1ms"]);
    store.work("echo no such column >&2; exit 65").ok();

    let found = store.get(&id);
    assert_eq!((found["public_state"].as_str(), attempts(&found).len()), (Some("failed"), 1));
    assert_eq!(found["attempts"][0]["failure_category"], "permanent");
    assert_eq!(found["reason"], "exit code 65 (EX_DATAERR): no such column");
}

#[test]
fn a_result_that_is_too_large_fails_for_good_and_says_so() {
    let store = Store::new();
    let id = store.submit(&["k", "1", "--retries", "5"]);
    store
        .run(&["work", "--until-empty", "--result-limit", "10KiB", "--", "sh", "-c", "yes; exit 0"])
        .ok();

    let found = store.get(&id);
    assert_eq!((found["public_state"].as_str(), attempts(&found).len()), (Some("failed"), 1));
    assert!(found["reason"].as_str().unwrap().contains("10240 bytes"), "{found}");
}

#[test]
fn a_command_that_ignores_its_payload_and_leaves_children_is_no_problem() {
    let store = Store::new();
    std::fs::write(store.path("big"), vec![b'x'; 1 << 20]).unwrap();
    let id = store.submit(&["k", "@big"]);
    let pids = store.path("pids");
    store.work(&format!("sleep 300 & echo $! > '{}'; echo out", pids.display())).ok();

    assert_eq!(store.run(&["exec", "result", &id]).ok(), "out\n");
    let pid = lines(&pids).remove(0);
    eventually("the child is gone", || !is_alive(&pid));
}

#[test]
fn an_attempt_that_runs_too_long_is_ended_and_retried() {
    let store = Store::new();
    let flags =
        ["k", "1", "--attempt-timeout", "500ms", "--retries", "1", "--backoff", "fixed:1ms"];
    let id = store.submit(&flags);
    let pids = store.path("pids");
    let script = format!("[ $FF_ATTEMPT = 2 ] && exec cat; {}", long_task(&pids));
    let _worker = store.worker(&["--grace", "100ms"], &script);

    let found = store.wait_for_state(&id, "completed");
    assert_eq!(attempts(&found).len(), 2);
    let pid = lines(&pids).remove(0);
    eventually("the first command is gone", || !is_alive(&pid));
}

#[test]
fn a_cancel_reaches_the_command_within_a_second() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    let pids = store.path("pids");
    let _worker = store.worker(&["--lease-ttl", "60s"], &long_task(&pids));
    eventually("the command runs", || lines(&pids).len() == 1);
    let pid = lines(&pids).remove(0);

    store.run(&["exec", "cancel", &id]).ok();
    let mut looks = 0;
    eventually("the command is told", || {
        looks += 1;
        !is_alive(&pid)
    });
    assert!(Duration::from_millis(20) * looks < Duration::from_secs(1), "{looks} looks");
    assert_eq!(store.get(&id)["public_state"], "cancelled");
}

#[test]
fn a_lease_is_renewed_for_as_long_as_the_command_runs() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    store
        .run(&["work", "--until-empty", "--lease-ttl", "600ms", "--", "sh", "-c", "sleep 2; cat"])
        .ok();

    let found = store.get(&id);
    assert_eq!((found["public_state"].as_str(), attempts(&found).len()), (Some("completed"), 1));
    assert_eq!(found["lease_epoch"], 1);
}

#[test]
fn the_first_signal_drains() {
    let store = Store::new();
    let started = store.path("started");
    let go = store.path("go");
    let first = store.submit(&["k", "1"]);
    let script = format!(
        "echo x >> '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; cat",
        started.display(),
        go.display()
    );
    let mut worker = store.worker(&["-c", "1"], &script);
    eventually("the command runs", || lines(&started).len() == 1);
    let second = store.submit(&["k", "2"]);

    worker.signal("TERM");
    std::fs::write(&go, "").unwrap();

    assert_eq!(worker.exit_code(), 0);
    assert_eq!(store.get(&first)["public_state"], "completed");
    assert_eq!(store.get(&second)["public_state"], "waiting");
}

#[test]
fn the_second_signal_gives_the_work_back_without_burning_an_attempt() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    let pids = store.path("pids");
    let mut worker = store.worker(&["--grace", "1s"], &long_task(&pids));
    eventually("the command runs", || lines(&pids).len() == 1);

    worker.signal("INT");
    worker.signal("INT");
    // Two signals of one kind that arrive together are one; a third does no harm here.
    eventually("the command is gone", || {
        worker.signal_if_running("INT");
        !is_alive(&lines(&pids)[0])
    });

    assert_eq!(worker.exit_code(), 130);
    let found = store.get(&id);
    assert_eq!(attempts(&found).len(), 1);
    assert_eq!((&found["retry_count"], &found["reclaim_count"]), (&0.into(), &0.into()));
    store.work("cat").ok();
    let found = store.get(&id);
    assert_eq!((found["public_state"].as_str(), attempts(&found).len()), (Some("completed"), 1));
    assert_eq!(found["lease_epoch"], 2);
    store.verify();
}

#[test]
fn a_worker_that_cannot_record_a_result_ends_after_its_grace() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    let (go, gone) = (store.path("go"), store.path("gone"));
    let script = format!(
        "while [ ! -e '{}' ]; do sleep 0.02; done; echo 1 > '{}'",
        go.display(),
        gone.display()
    );
    let (mut worker, told) = store.told_worker(&["--grace", "1s", "--lease-ttl", "10m"], &script);
    store.wait_for_state(&id, "active");
    let neighbour = rusqlite::Connection::open(store.path("test.db")).unwrap();
    neighbour.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::fs::write(&go, "").unwrap();
    eventually("the command has ended", || gone.exists());

    worker.signal("INT");
    worker.signal("TERM");

    assert_eq!(worker.exit_code(), 130);
    neighbour.execute_batch("ROLLBACK").unwrap();
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.contains("not recorded") || told.contains("not given back"), "{told}");
    assert_eq!(store.get(&id)["public_state"], "active");
    store.verify();
}

#[test]
fn a_killed_worker_leaves_no_orphan_and_its_work_is_reclaimed() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    let pids = store.path("pids");
    let script = format!(
        "[ $FF_ATTEMPT = 2 ] && exec cat; sleep 301 & echo $! >> '{0}'; {1}",
        pids.display(),
        long_task(&pids)
    );
    let mut first = store.worker(&["--lease-ttl", "1s"], &script);
    eventually("the command and its child run", || lines(&pids).len() == 2);

    first.kill();
    for pid in lines(&pids) {
        eventually("no process is left", || !is_alive(&pid));
    }
    let _second = store.worker(&["--lease-ttl", "1s"], &script);

    let found = store.wait_for_state(&id, "completed");
    assert_eq!(attempts(&found).len(), 2);
    assert_eq!((&found["reclaim_count"], &found["lease_epoch"]), (&1.into(), &2.into()));
    store.verify();
}

#[test]
fn a_command_that_kills_its_worker_each_time_ends_visibly() {
    let store = Store::new();
    let id = store.submit(&["k", "1", "--max-reclaims", "1"]);
    // The helper's parent is the worker.
    let script = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat)";
    for _ in 0..2 {
        let mut worker = store.worker(&["--lease-ttl", "300ms"], script);
        eventually("the worker dies", || worker.0.try_wait().unwrap().is_some());
    }
    let _last = store.worker(&["--lease-ttl", "300ms"], "cat");

    let found = store.wait_for_state(&id, "failed");
    assert!(found["reason"].as_str().unwrap().contains("max_reclaims_exceeded"), "{found}");
}

#[test]
fn an_idle_worker_wakes_for_a_submit_from_another_process() {
    let store = Store::new();
    let _worker = store.worker(&[], "cat");
    for _ in 0..3 {
        let out = store.run(&["submit", "k", "7", "--wait", "--timeout", "20s"]).ok();
        assert_eq!(out, "7");
    }
}

#[test]
fn capabilities_decide_who_may_run_what() {
    let store = Store::new();
    let gpu = store.submit(&["k", "1", "--capability", "gpu"]);
    let any = store.submit(&["k", "2"]);

    store.work("cat").ok();
    assert_eq!(store.get(&gpu)["public_state"], "waiting");
    assert_eq!(store.get(&any)["public_state"], "completed");

    store.run(&["work", "--until-empty", "--capability", "gpu,arm", "--", "cat"]).ok();
    assert_eq!(store.get(&gpu)["public_state"], "completed");
}

#[test]
fn a_worker_stops_after_so_many_and_tells_what_it_did() {
    let store = Store::new();
    for _ in 0..3 {
        store.submit(&["k", "1"]);
    }
    let tally = store.run(&["work", "--max", "2", "--json", "--", "cat"]).json();
    assert_eq!(tally["completed"], 2);
    let lanes = store.run(&["lane", "list", "--json"]).json();
    assert_eq!(lanes["lanes"][0]["waiting"], 1);
}

#[test]
fn an_idle_worker_ends_when_its_database_is_taken_away() {
    for replaced in [false, true] {
        let store = Store::new();
        let id = store.submit(&["k", "1"]);
        let (mut worker, err) = store.told_worker(&["--quiet"], "cat");
        store.wait_for_state(&id, "completed");

        if replaced {
            std::fs::write(store.path("other.db"), "").unwrap();
            std::fs::rename(store.path("other.db"), store.path("test.db")).unwrap();
        } else {
            std::fs::remove_file(store.path("test.db")).unwrap();
        }

        assert_eq!(worker.exit_code(), 1);
        let err = std::fs::read_to_string(err).unwrap();
        assert!(err.contains("test.db") && err.contains("fix: "), "{err}");
        assert!(err.contains(if replaced { "replaced" } else { "gone" }), "{err}");
    }
}

#[test]
fn a_busy_worker_ends_what_runs_when_its_database_is_taken_away() {
    let store = Store::new();
    for _ in 0..2 {
        store.submit(&["k", "1"]);
    }
    let pids = store.path("pids");
    // One is ended by SIGTERM, the other has to be killed.
    let script = format!(
        "sleep 301 & echo $! >> '{0}'; [ \"$(wc -l < '{0}')\" = 1 ] && trap '' TERM; {1}",
        pids.display(),
        long_task(&pids)
    );
    let flags = ["-c", "2", "--grace", "300ms", "--lease-ttl", "200ms"];
    let (mut worker, err) = store.told_worker(&flags, &script);
    eventually("the commands and their children run", || lines(&pids).len() == 4);

    std::fs::remove_file(store.path("test.db")).unwrap();

    assert_eq!(worker.exit_code(), 1);
    for pid in lines(&pids) {
        eventually("no process is left", || !is_alive(&pid));
    }
    let err = std::fs::read_to_string(err).unwrap();
    assert!(err.contains("test.db") && err.contains("error: ") && err.contains("gone"), "{err}");
}

#[test]
fn a_worker_without_its_command_claims_nothing() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    let error = store.run(&["work", "--until-empty", "--", "no-such-program-here"]).refused(3);
    assert!(error.contains("no-such-program-here") && error.contains("PATH"), "{error}");
    store.run(&["work"]).refused(2);
    assert_eq!(store.get(&id)["public_state"], "waiting");
}
