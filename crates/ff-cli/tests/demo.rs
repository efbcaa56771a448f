//! The demo keeps its promise on a small directory.

mod support;

use support::Store;

#[test]
fn the_demo_loses_nothing_and_leaves_nothing() {
    let store = Store::new();
    let files = store.path("files");
    std::fs::create_dir(&files).unwrap();
    for number in 0..40 {
        std::fs::write(files.join(format!("f{number}")), number.to_string()).unwrap();
    }
    let mut command = store.ff(&["demo", "files", "--json"]);
    let output = command.env_remove("FF_STORE").env("TMPDIR", store.dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{err}");

    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let report = &answer["report"];
    assert_eq!((&report["submitted"], &report["completed"]), (&40.into(), &40.into()), "{text}");
    assert_eq!((&report["lost"], &report["completed_twice"]), (&0.into(), &0.into()));
    assert_eq!(report["orphans"], 0);
    assert!(report["retried"].as_u64() >= Some(3), "{text}");
    assert!(report["held_at_kill"].as_u64() >= Some(1), "{text}");
    assert!(report["reclaimed"].as_u64() >= report["held_at_kill"].as_u64(), "{text}");
}

#[test]
fn a_directory_without_files_is_refused() {
    let store = Store::new();
    std::fs::create_dir(store.path("empty")).unwrap();
    let error = store.run(&["demo", "empty"]).refused(3);
    assert!(error.contains("no file to hash"), "{error}");
    store.run(&["demo", "missing"]).refused(3);
}

#[test]
fn too_few_files_to_show_it_are_refused_before_anything_starts() {
    let store = Store::new();
    let files = store.path("files");
    std::fs::create_dir(&files).unwrap();
    for number in 0..11 {
        std::fs::write(files.join(format!("f{number}")), "x").unwrap();
    }
    let error = store.run(&["demo", "files"]).refused(2);
    assert!(error.contains("at least 12 files") && error.contains("there are 11"), "{error}");
    std::fs::write(files.join("f11"), "x").unwrap();
    let error = store.run(&["demo", "files", "--files", "11"]).refused(2);
    assert!(error.contains("at least 12 files") && error.contains("--files"), "{error}");
}

#[test]
fn the_fewest_files_are_enough() {
    let store = Store::new();
    let files = store.path("files");
    std::fs::create_dir(&files).unwrap();
    for number in 0..12 {
        std::fs::write(files.join(format!("f{number}")), number.to_string()).unwrap();
    }
    let mut command = store.ff(&["demo", "files", "--json"]);
    let output = command.env_remove("FF_STORE").env("TMPDIR", store.dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
