//! What a command says to the engine while it runs.

mod support;

use serde_json::json;
use support::Store;

/// The binary, quoted for a shell.
const FF: &str = concat!("'", env!("CARGO_BIN_EXE_ff"), "'");

#[test]
fn outside_a_task_there_is_nothing_to_talk_about() {
    let store = Store::new();
    store.submit(&["k"]);

    let error = store.run(&["task", "progress", "5"]).refused(2);
    assert!(error.contains("FF_HANDLE is not set") && error.contains("ff work --"), "{error}");
    let answer = store.ff(&["task", "delay", "1s"]).env("FF_HANDLE", "00ff").output().unwrap();
    assert_eq!(answer.status.code(), Some(2));
    store.run(&["task", "progress", "101"]).refused(2);
}

#[test]
fn progress_is_seen_while_the_command_runs() {
    let store = Store::new();
    let id = store.submit(&["k"]);

    store
        .work(&format!(
            "{FF} task progress 40 'rendering' && {FF} exec get $FF_EXECUTION_ID --json && \
             {FF} task progress --json 2>&1 || true"
        ))
        .ok();

    let result = store.run(&["exec", "result", &id]).ok();
    let seen: serde_json::Value = serde_json::from_str(result.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&seen["progress_pct"], &seen["progress_message"]),
        (&json!(40), &json!("rendering"))
    );
    assert_eq!(seen["public_state"], "active");
}

#[test]
fn a_child_needs_the_lease_of_its_parent() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let said = store.path("said");
    let script = format!(
        "if [ $FF_LEASE_EPOCH = 1 ]; then \
           trap '' TERM; {FF} task delay 100ms; {FF} task spawn late; echo $? > '{}'; \
         else {FF} task spawn right --lane other; fi",
        said.display()
    );
    let _worker = store.worker(&[], &script);

    store.wait_for_state(&id, "completed");

    assert_eq!(std::fs::read_to_string(said).unwrap(), "4\n");
    let listed = |kind| store.run(&["exec", "list", "--kind", kind, "-q"]).ok().lines().count();
    assert_eq!((listed("late"), listed("right")), (0, 1));
    store.verify();
}

#[test]
fn after_a_delay_the_same_attempt_goes_on_and_its_exit_code_ends_nothing() {
    let store = Store::new();
    for code in [0, 65] {
        let id = store.submit(&["k"]);
        let script = format!(
            "if [ $FF_LEASE_EPOCH = 1 ]; then {FF} task delay 300ms; echo lost; exit {code}; fi; \
             echo $FF_ATTEMPT $FF_LEASE_EPOCH"
        );
        let _worker = store.worker(&[], &script);

        let found = store.wait_for_state(&id, "completed");

        assert_eq!(store.run(&["exec", "result", &id]).ok(), "1 2\n");
        assert_eq!(found["attempts"].as_array().unwrap().len(), 1);
    }
    store.verify();
}

#[test]
fn a_worker_tells_what_it_parked() {
    let store = Store::new();
    store.submit(&["k"]);

    let told = store.run(&[
        "work",
        "--max",
        "1",
        "--json",
        "--",
        "sh",
        "-c",
        &format!("{FF} task delay 1h"),
    ]);

    let told = told.json();
    assert_eq!(
        (&told["parked"], &told["lost"], &told["completed"]),
        (&json!(1), &json!(0), &json!(0))
    );
}

#[test]
fn a_command_that_goes_on_without_its_lease_is_refused_and_ended() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let out = store.path("out");
    let script = format!(
        "if [ $FF_LEASE_EPOCH = 1 ]; then {FF} task delay 500ms; {FF} task progress 50 2> '{out}'; \
         echo $? >> '{out}'; exit; fi",
        out = out.display()
    );
    let _worker = store.worker(&[], &script);

    store.wait_for_state(&id, "completed");

    let said = std::fs::read_to_string(&out).unwrap();
    assert!(said.contains("error: cannot record the progress") && said.ends_with("4\n"), "{said}");
}

#[test]
fn whoever_goes_on_without_its_lease_is_told_where_the_execution_stands() {
    let store = Store::new();
    for (park, standing) in
        [("suspend", "it is suspended until it is answered"), ("delay 1h", "it is delayed")]
    {
        let id = store.submit(&["k", "--lane", "parks"]);
        let said = store.path("said");
        let script = format!(
            "FF={FF}; $FF task {park}; for again in 'progress 3' suspend wait-children; do \
             $FF task $again; echo $?; done 2> '{said}' >&2",
            said = said.display()
        );
        store.run(&["work", "--lane", "parks", "--max", "1", "--", "sh", "-c", &script]).ok();

        let said = std::fs::read_to_string(&said).unwrap();
        assert_eq!(said.matches(standing).count(), 3, "{park}: {said}");
        assert_eq!(said.matches("\n4\n").count(), 3, "{park}: {said}");
        assert!(!said.contains("ended: none") && !said.contains("replay"), "{park}: {said}");
        assert!(said.contains("fix: let the command end"), "{park}: {said}");
        store.run(&["exec", "cancel", &id, "--yes"]).ok();
    }
}

#[test]
fn what_is_cancelled_under_a_command_is_ended_and_not_lost() {
    let store = Store::new();
    store.submit(&["k"]);
    let told = store.run(&[
        "work",
        "--max",
        "1",
        "--json",
        "--",
        "sh",
        "-c",
        &format!("{FF} exec cancel $FF_EXECUTION_ID --yes; exec sleep 300"),
    ]);

    assert!(told.err.contains("stopped: it has ended: cancelled"), "{}", told.err);
    assert!(!told.err.contains('{'), "{}", told.err);
    let told = told.json();
    assert_eq!((&told["ended"], &told["lost"]), (&json!(1), &json!(0)));
}

#[test]
fn what_a_command_emits_is_tailed_in_order_and_byte_for_byte() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let script = format!(
        "seq 1 500 | {FF} task emit; printf '\\377\\000x' | {FF} task emit --chunk; \
         head -c 100000 /dev/zero | tr '\\0' a | {FF} task emit; {FF} task emit last --event"
    );
    store.work(&script).ok();

    let tail = store.run(&["exec", "tail", &id]).stdout;
    let mut expected: Vec<u8> = (1..=500).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    expected.extend(b"\xff\0x");
    expected.extend(vec![b'a'; 100_000]);
    expected.extend(b"last\n");
    assert!(tail == expected, "{}", String::from_utf8_lossy(&tail));

    let frames = store.run(&["exec", "tail", &id, "--json"]).ok();
    let frames: Vec<serde_json::Value> =
        frames.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(frames.len(), 504, "a long line is two frames");
    assert_eq!(frames[500]["payload_base64"], "/wB4");
    let after = frames[501]["frame"].as_str().unwrap();
    let rest = store.run(&["exec", "tail", &id, "--after", after, "--no-follow"]).ok();
    assert!(rest.ends_with("alast\n") && rest.len() == 100_000 - 65_536 + 5, "{}", rest.len());
}

#[test]
fn a_tail_begins_before_the_work_and_ends_with_it_over_every_attempt() {
    let store = Store::new();
    let id = store.submit(&["k", "--retries", "1", "--backoff", "fixed:1ms"]);
    let tail = store.ff(&["exec", "tail", &id]).spawn().unwrap();
    let _worker =
        store.worker(&[], &format!("{FF} task emit attempt-$FF_ATTEMPT; [ $FF_ATTEMPT = 2 ]"));

    let answer = tail.wait_with_output().unwrap();

    assert_eq!(String::from_utf8_lossy(&answer.stdout), "attempt-1\nattempt-2\n");
    let told = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success() && told.contains("is completed"), "{told}");
    assert_eq!(store.run(&["exec", "tail", &id, "--attempt", "1"]).ok(), "attempt-1\n");
}

#[test]
fn patches_merge_into_one_summary() {
    let store = Store::new();
    let id = store.submit(&["k"]);
    let patches = r#"printf '{"done":1,"left":["a"]}\n\n{"done":2,"left":null}\n'"#;
    store.work(&format!("{patches} | {FF} task emit --summary")).ok();

    assert_eq!(store.run(&["exec", "tail", &id, "--summary"]).json(), json!({"done": 2}));
    let none = store.submit(&["k"]);
    store.run(&["exec", "tail", &none, "--summary"]).refused(3);
}
