//! Submitting, looking at and steering executions through the binary.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use support::Store;

#[test]
fn a_submitted_execution_can_be_listed_run_and_read() {
    let store = Store::new();
    let id = store.submit(&["mail", r#"{"to": "a@b.c"}"#, "--tag", "team=core", "--priority", "7"]);
    assert!(id.starts_with("exe_"), "{id}");

    let list = store.run(&["execs", "list", "--json"]).json();
    assert_eq!(list["executions"][0]["id"], id);
    assert_eq!(list["executions"][0]["public_state"], "waiting");
    assert_eq!(list["executions"][0]["priority"], 7);

    store.work("cat; echo done >&2").ok();

    let found = store.get(&id);
    assert_eq!(found["public_state"], "completed");
    assert_eq!(found["payload"]["to"], "a@b.c");
    assert_eq!(found["result"]["to"], "a@b.c");
    assert_eq!(found["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(found["attempts"][0]["outcome"], "success");
    assert_eq!(store.run(&["exec", "result", &id]).ok(), r#"{"to": "a@b.c"}"#);
    let table = store.run(&["exec", "get", &id]).ok();
    assert!(table.contains("completed") && table.contains("ATTEMPT"), "{table}");
    store.verify();
}

#[test]
fn payload_and_result_are_bytes_and_come_back_unchanged() {
    let store = Store::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(store.path("in"), &bytes).unwrap();
    let from_file = store.submit(&["raw", "@in"]);
    let from_stdin = store.run_with(&["submit", "raw", "-"], &bytes).ok().trim().to_owned();
    let nothing = store.submit(&["raw"]);

    store.work("cat").ok();

    assert_eq!(store.run(&["exec", "result", &from_file]).stdout, bytes);
    assert_eq!(store.run(&["exec", "result", &from_stdin]).stdout, bytes);
    assert_eq!(store.run(&["exec", "result", &nothing]).stdout, b"");
    assert!(store.get(&from_file)["result_base64"].is_string());
}

#[test]
fn what_exceeds_the_payload_limit_is_refused_with_both_numbers() {
    let store = Store::new();
    std::fs::write(store.path("big"), vec![b'x'; (1 << 20) + 1]).unwrap();

    let error = store.run(&["submit", "k", "@big"]).refused(1);
    assert!(error.contains("1048577") && error.contains("1048576"), "{error}");
    let big = vec![b'x'; 2 << 20];
    let error = store.run_with(&["submit", "k", "-"], &big).refused(1);
    assert!(error.contains("1048576"), "{error}");

    store.run(&["submit", "k", "@big", "--payload-limit", "2MiB"]).ok();
}

#[test]
fn a_key_submits_once_and_is_refused_for_something_else() {
    let store = Store::new();
    let first = store.submit(&["k", "1", "--key", "order-42"]);

    assert_eq!(store.submit(&["k", "1", "--key", "order-42"]), first);
    let error = store.run(&["submit", "k", "2", "--key", "order-42"]).refused(4);
    assert!(error.contains(&first) && error.contains("--key"), "{error}");
    let again = store.run(&["submit", "k", "1", "--key", "order-42", "--json"]).json();
    assert_eq!(again["duplicate"], true);
}

#[test]
fn lists_filter_and_page() {
    let store = Store::new();
    for number in 0..5 {
        let lane = if number % 2 == 0 { "even" } else { "odd" };
        let tag = format!("n={number}");
        store.submit(&["k", &number.to_string(), "--lane", lane, "--tag", &tag]);
    }
    let count = |args: &[&str]| {
        let mut line = vec!["exec", "list", "-q"];
        line.extend(args);
        store.run(&line).ok().lines().count()
    };
    assert_eq!(count(&[]), 5);
    assert_eq!(count(&["--lane", "even"]), 3);
    assert_eq!(count(&["--lane", "even", "--state", "completed,waiting"]), 3);
    assert_eq!(count(&["--state", "completed"]), 0);
    assert_eq!(count(&["--tag", "n=3"]), 1);
    assert_eq!(count(&["--kind", "other"]), 0);

    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut line = vec!["exec", "list", "-n", "2", "--json"];
        if let Some(cursor) = &cursor {
            line.extend(["--cursor", cursor]);
        }
        let page = store.run(&line).json();
        for row in page["executions"].as_array().unwrap() {
            seen.push(row["id"].as_str().unwrap().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    let mut newest_first = seen.clone();
    newest_first.sort();
    newest_first.dedup();
    assert_eq!(newest_first.len(), 5);

    let lanes = store.run(&["lane", "list", "--json"]).json();
    assert_eq!(lanes["lanes"].as_array().unwrap().len(), 2);
    assert_eq!(lanes["lanes"][0]["waiting"], 3);
}

#[test]
fn ids_may_be_short_and_errors_say_what_to_do() {
    let store = Store::new();
    let first = store.submit(&["k"]);
    store.submit(&["k"]);
    let uuid = first.strip_prefix("exe_").unwrap();
    for spelling in
        [uuid.to_owned(), uuid.to_uppercase(), first.clone(), format!("{{fp:0}}:{uuid}")]
    {
        assert_eq!(store.get(&spelling)["id"], first, "{spelling}");
    }

    let error = store.run(&["exec", "get", "exe_0"]).refused(4);
    assert!(error.contains("more than one"), "{error}");
    let error = store.run(&["exec", "get", "ffff"]).refused(3);
    assert!(error.contains("no execution begins with"), "{error}");
    let error = store.run(&["exec", "get", "nonsense"]).refused(2);
    assert!(error.contains("is not an execution id"), "{error}");
    let nil = "{fp:0}:00000000-0000-7000-8000-000000000000";
    store.run(&["exec", "get", nil]).refused(3);
    store.run(&["exec", "events", nil]).refused(3);
    store.run(&["exec", "cancel", nil]).refused(3);
}

#[test]
fn every_error_is_one_json_object_when_json_is_asked_for() {
    let store = Store::new();
    for (args, exit) in [
        (&["exec", "list", "--json"][..], 3),
        (&["submit", "--json"][..], 2),
        (&["submit", "k", "not json", "--json"][..], 2),
        (&["submit", "k", "--delay", "30", "--json"][..], 2),
        (&["submit", "k", "@missing", "--json"][..], 3),
        (&["exec", "list", "--json", "--store", "sqlite:/no/such/dir/x.db"][..], 3),
        (&["submit", "k", "--json", "--store", "sqlite:/no/such/dir/x.db"][..], 2),
    ] {
        let error = store.run(args).refused(exit);
        let object: serde_json::Value =
            serde_json::from_str(&error).unwrap_or_else(|_| panic!("{args:?}: {error}"));
        assert_eq!(object["exit_code"], exit, "{args:?}");
        assert!(object["title"].as_str().is_some_and(|title| !title.is_empty()), "{args:?}");
    }
}

#[test]
fn a_file_that_is_not_ours_is_a_mistake_of_the_command_line_and_stays_as_it_is() {
    let store = Store::new();
    let text = "no database at all, whatever its name says\n".repeat(100);
    std::fs::write(store.path("notes.db"), &text).unwrap();

    let error = store.run(&["exec", "list", "--store", "sqlite:notes.db"]).refused(2);

    assert!(error.contains("notes.db") && error.contains("fix: check the path"), "{error}");
    assert_eq!(std::fs::read_to_string(store.path("notes.db")).unwrap(), text);
}

#[test]
fn cancel_and_replay_take_ids_or_filters_and_ask_first() {
    let store = Store::new();
    let one = store.submit(&["k", "--lane", "a"]);
    for _ in 0..3 {
        store.submit(&["k", "--lane", "b"]);
    }

    store.run(&["exec", "cancel", &one, "--reason", "not needed"]).ok();
    let found = store.get(&one);
    assert_eq!(
        (&found["public_state"], &found["reason"]),
        (&"cancelled".into(), &"not needed".into())
    );
    // Safe to repeat; replay opens it once.
    store.run(&["exec", "cancel", &one]).ok();
    store.run(&["exec", "replay", &one]).ok();
    assert!(store.run(&["exec", "replay", &one]).refused(4).contains("not ended"));

    let error = store.run(&["exec", "cancel", "--lane", "b"]).refused(2);
    assert!(error.contains("cancel 3 executions") && error.contains("--yes"), "{error}");
    store.run(&["exec", "cancel"]).refused(2);
    store.run(&["exec", "cancel", &one, "--lane", "b"]).refused(2);
    let answer = store.run(&["exec", "cancel", "--lane", "b", "--yes", "--json"]).json();
    assert_eq!(answer["count"], 3);
    let answer = store.run(&["exec", "replay", "--lane", "b", "--yes", "--json"]).json();
    assert_eq!(answer["count"], 3);

    store.run(&["work", "--lane", "a,b", "--until-empty", "--", "cat"]).ok();
    let error = store.run(&["exec", "cancel", &one]).refused(4);
    assert!(error.contains("already ended"), "{error}");
    let events = store.run(&["exec", "events", &one, "--json"]).json();
    let last = events["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["to_state"], "completed");
    store.verify();
}

#[test]
fn priorities_order_the_lane_and_can_change() {
    let store = Store::new();
    let low = store.submit(&["k", "1"]);
    store.submit(&["k", "2", "--priority", "5"]);
    store.run(&["exec", "priority", &low, "9"]).ok();
    store.run(&["exec", "priority", &low, "high"]).refused(2);

    let order = store.path("order");
    let script = format!("cat >> '{}'; echo >> '{}'", order.display(), order.display());
    store.run(&["work", "--until-empty", "-c", "1", "--", "sh", "-c", &script]).ok();

    assert_eq!(support::lines(&order), ["1", "2"]);
    assert!(store.run(&["exec", "priority", &low, "1"]).refused(4).contains("not waiting"));
}

#[test]
fn a_paused_lane_hands_out_nothing() {
    let store = Store::new();
    let id = store.submit(&["k", "1", "--lane", "mail"]);
    let work = ["work", "--lane", "mail", "--until-empty", "--", "cat"];

    store.run(&["lane", "pause", "mail"]).ok();
    store.run(&work).ok();
    assert_eq!(store.get(&id)["public_state"], "waiting");

    store.run(&["lanes", "resume", "mail"]).ok();
    store.run(&work).ok();
    assert_eq!(store.get(&id)["public_state"], "completed");
}

#[test]
fn many_lines_become_many_executions_in_order() {
    let store = Store::new();
    let text: String =
        (0..2_500).map(|n| format!("{{\"kind\":\"k\",\"payload\":{n}}}\n")).collect();
    std::fs::write(store.path("lines"), &text).unwrap();

    let answer = store.run(&["submit", "--jsonl", "lines", "--json"]).ok();
    let rows: Vec<serde_json::Value> =
        answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2_500);
    assert_eq!((&rows[2_499]["line"], &rows[2_499]["duplicate"]), (&2_500.into(), &false.into()));
    assert_eq!(store.get(rows[2_499]["id"].as_str().unwrap())["payload"], 2_499);

    let answer = store.run_with(&["submit", "k", "--jsonl", "-", "-q"], b"1\n\"two\"\n\n[3]\n");
    assert_eq!(answer.ok().lines().count(), 3);
    store.verify();
}

#[test]
fn a_malformed_line_stops_with_its_number_and_its_chunk_is_not_submitted() {
    let store = Store::new();
    let error = store.run_with(&["submit", "--jsonl", "-"], b"{\"kind\":\"k\"}\n{\"kind\":1}\n");
    let error = error.refused(2);
    assert!(error.contains("line 2") && error.contains("nothing was submitted"), "{error}");
    assert_eq!(store.run(&["exec", "list", "-q"]).ok(), "");

    let mut text = "1\n".repeat(1_000);
    text.push_str("2\nx\n");
    let error = store.run_with(&["submit", "k", "--jsonl", "-"], text.as_bytes()).refused(2);
    assert!(error.contains("line 1002"), "{error}");
    let listed = store.run(&["exec", "list", "-q", "--all"]).ok().lines().count();
    assert!(error.contains(&format!("{listed} executions")), "{listed}: {error}");
}

#[test]
fn an_interrupted_bulk_submit_has_told_what_is_stored() {
    let store = Store::new();
    let mut child = store
        .ff(&["submit", "k", "--jsonl", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = child.stderr.take().unwrap();
    let mut process = support::Process(child);
    stdin.write_all(b"1\n2\n").unwrap();
    let mut ids = [String::new(), String::new()];
    for id in &mut ids {
        stdout.read_line(id).unwrap();
    }

    process.signal("TERM");

    assert_eq!(process.exit_code(), 130);
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    assert!(told.contains("2 executions of the lines before line 3"), "{told}");
    assert!(told.contains("interrupted"), "{told}");
    assert_eq!(store.get(ids[1].trim())["payload"], 2);
}

#[test]
fn a_key_that_is_taken_is_named_with_its_line() {
    let store = Store::new();
    store.submit(&["k", "1", "--key", "a"]);
    for (text, named) in [
        (
            &b"{\"kind\":\"k\"}\n{\"kind\":\"k\",\"key\":\"a\"}\n"[..],
            "the key `a` of line 2 belongs to",
        ),
        (
            b"{\"kind\":\"k\",\"key\":\"b\"}\n{\"kind\":\"x\",\"key\":\"b\"}\n",
            "the key `b` of line 2 is that of line 1 already",
        ),
        (
            b"{\"kind\":\"k\",\"key\":\"c\"}\n{\"kind\":\"k\",\"key\":\"a\"}\n",
            "the key `a` of line 2 belongs to",
        ),
    ] {
        let error = store.run_with(&["submit", "--jsonl", "-"], text).refused(4);
        assert!(error.contains(named) && !error.contains("--key"), "{error}");
    }
    assert_eq!(store.run(&["exec", "list", "-q"]).ok().lines().count(), 1);
}

#[test]
fn what_could_not_work_is_refused_with_a_way_out() {
    let store = Store::new();
    store.submit(&["k"]);
    let long = "k".repeat(2_000);
    let tag = format!("{long}=1");
    for (args, exit, named) in [
        (&["submit", "k", "--lane", "a,b"][..], 2, "comma"),
        (&["submit", "k", "--key", ""], 2, "empty"),
        (&["submit", "k", "--key", &long], 2, "256"),
        (&["submit", &long], 2, "128"),
        (&["submit", "k", "--tag", &tag], 2, "128"),
        (&["submit", "k", "--tag", "a=1", "--tag", "a=2"], 2, "twice"),
        (&["submit", "k", "--retries", "1001"], 2, "1000"),
        (&["submit", "k", "@missing"], 3, "missing"),
        (&["submit", "k", "@/tmp"], 2, "directory"),
        (&["submit", "--jsonl", "missing"], 3, "missing"),
        (&["submit", "--jsonl", "/tmp"], 2, "directory"),
        (&["submit", "k", "--store", "postgres://h/d"], 2, "not supported"),
        (&["exec", "list", "--cursor", "bad"], 2, "cursor"),
    ] {
        let error = store.run(args).refused(exit);
        assert!(error.contains(named) && error.contains("  fix: "), "{args:?}: {error}");
    }
    let error = store.run_with(&["submit", "--jsonl", "-"], b"[1]\n").refused(2);
    assert!(error.contains("an array, not an object"), "{error}");
    assert_eq!(store.run(&["exec", "list", "-q"]).ok().lines().count(), 1);
}

#[test]
fn waiting_ends_with_the_result_or_with_what_went_wrong() {
    let store = Store::new();
    let _worker =
        store.worker(&["-c", "2"], "test \"$FF_KIND\" = good && cat || { echo no >&2; exit 65; }");

    assert_eq!(store.run(&["submit", "good", "[1,  2]", "-f"]).ok(), "[1,  2]");
    let json = store.run(&["submit", "good", "5", "--wait", "--json"]).json();
    assert_eq!((&json["state"], &json["result"]), (&"completed".into(), &5.into()));
    let error = store.run(&["submit", "bad", "1", "--wait"]).refused(5);
    assert!(
        error.contains("failed") && error.contains("EX_DATAERR") && error.contains("no"),
        "{error}"
    );
    let error = store
        .run(&["submit", "x", "1", "--lane", "idle", "--wait", "--timeout", "200ms"])
        .refused(6);
    assert!(error.contains("has not ended in time"), "{error}");
}

/// A stopped worker cannot act on its helper's death, as one that is killed in the same moment cannot.
#[cfg(target_os = "linux")]
#[test]
fn a_command_ends_with_its_worker_and_helper_killed_at_once() {
    let store = Store::new();
    store.submit(&["k"]);
    let pids = store.path("pids");
    let script = format!("echo $$ >> '{0}'; echo $PPID >> '{0}'; exec sleep 300", pids.display());
    let mut worker = store.worker(&[], &script);
    support::eventually("the command runs", || support::lines(&pids).len() == 2);
    let [command, helper] = support::lines(&pids).try_into().unwrap();

    worker.signal("STOP");
    let stands = worker.pid().to_string();
    support::eventually("the worker stands still", || support::is_stopped(&stands));
    let killed = std::process::Command::new("kill").args(["-KILL", &helper]).status();
    assert!(killed.unwrap().success());
    worker.kill();

    support::eventually("the command is gone", || !support::is_alive(&command));
}

#[test]
fn delay_and_deadline_hold() {
    let store = Store::new();
    let later = store.submit(&["k", "--delay", "1h"]);
    let expires = store.submit(&["k", "--lane", "none", "--deadline", "300ms"]);
    store.work("cat").ok();
    assert_eq!(store.get(&later)["public_state"], "delayed");
    let _worker = store.worker(&[], "cat");
    store.wait_for_state(&expires, "expired");
}

#[test]
fn user_data_cannot_drive_the_terminal() {
    let store = Store::new();
    let id = store.submit(&["evil\u{1b}[31m", "1", "--tag", "a=\u{1b}]0;x\u{7}"]);
    for line in [&["exec", "list"][..], &["exec", "get", &id][..]] {
        let out = store.run(line).ok();
        assert!(!out.contains('\u{1b}') && !out.contains('\u{7}'), "{out:?}");
        assert!(out.contains("\\x1b"), "{out}");
    }
}

#[test]
fn a_backup_is_a_whole_store_and_never_replaces_a_file() {
    let store = Store::new();
    let id = store.submit(&["k", "1"]);
    store.run(&["backup", "copy.db"]).ok();
    assert!(store.run(&["backup", "copy.db"]).refused(4).contains("exists already"));
    let listed = store.run(&["exec", "list", "-q", "--store", "sqlite:copy.db"]).ok();
    assert_eq!(listed.trim(), id);
    store.run(&["verify", "--store", "sqlite:copy.db", "--json"]).json();
}

#[test]
fn completions_are_generated_for_shells() {
    let store = Store::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(store.run(&["completion", shell]).ok().contains("submit"));
    }
    store.run(&["completion", "smoke"]).refused(2);
}
