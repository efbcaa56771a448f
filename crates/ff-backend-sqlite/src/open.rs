//! Opening a connection: what is checked before SQLite may write, and the settings every connection gets.
//!
//! Invariant: no descriptor of our own is ever opened on a database file that exists. Closing one would drop the
//! POSIX locks that SQLite holds on that file for the whole process. A new file is the one exception: it is made
//! exclusively, so nobody can hold a lock on it yet.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ff_core::{BackendError, BackendErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags, ffi};

use crate::error::{Doing as _, is_busy, opening, refused};
use crate::location::Location;
use crate::log::wait_for_locks;
use crate::migrate::{Found, judge, look};

/// SQLite 3.51.3: earlier ones can corrupt a WAL database when a checkpoint of one connection meets a write of another.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Every statement of the engine stays prepared, on each connection.
const STATEMENT_CACHE: usize = 256;

/// How much of the WAL file stays on disk after a checkpoint has emptied it: 64 MiB.
const JOURNAL_SIZE_LIMIT_BYTES: i64 = 64 << 20;

/// Page caches in KiB: the writer's holds the hot end of every index, a reader's one large page of a list.
const WRITER_CACHE_KIB: i64 = 32 << 10;
const READER_CACHE_KIB: i64 = 8 << 10;

/// The pause between two tries to turn a new file into a WAL database: SQLite does not wait there by itself.
const WAL_RETRY: Duration = Duration::from_millis(5);

/// What a commit has survived when it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Each commit is on the disk before it is answered (`synchronous=FULL`).
    #[default]
    Full,
    /// A commit may still be in the system's cache when it is answered (`synchronous=NORMAL`). Faster. A power loss may
    /// take the last commits back, although they were answered; it never corrupts the database, and a crash of the
    /// process alone loses nothing.
    Normal,
}

/// Opens the connection that writes, creating the database if it does not exist.
///
/// A file that is not ours to write, or that lies where SQLite's locks do not work, is refused without being changed.
/// The schema is not touched: [`migrate`](crate::migrate::migrate) comes next. Nothing checkpoints by itself on this
/// connection.
pub(crate) fn open_writer(
    location: &Location,
    durability: Durability,
    busy: Duration,
    vfs: Option<&str>,
) -> Result<Connection, BackendError> {
    check_library()?;
    if let Some(vfs) = vfs {
        check_vfs(location, vfs)?;
    }
    if let Location::File(path) = location {
        prepare_file(path)?;
        refuse_network(path)?;
        inspect_log(location, path, busy, vfs)?;
    }
    let conn = connect(location, busy, vfs)?;
    if conn.is_readonly(MAIN_DB).opening("open the database")? {
        return Err(BackendError::Sqlite {
            kind: BackendErrorKind::Other,
            message: format!(
                "{} is read-only for this user: make the file and its directory writable",
                named(location)
            ),
        });
    }
    wait_for_locks(&conn, busy).opening("set the busy handler")?;
    judge_found(look(&conn), location)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    // auto_vacuum takes effect before the first page is written, so it comes before the switch to WAL. Asked of a file
    // that has pages it would change nothing, and wait for the write lock behind busy neighbours.
    let pages: i64 = conn
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .opening("read the size of the database")?;
    if pages == 0 {
        set(&conn, "auto_vacuum", "INCREMENTAL")?;
    }
    if matches!(location, Location::File(_)) {
        use_wal(&conn, busy)?;
    }
    set(&conn, "synchronous", synchronous)?;
    set(&conn, "wal_autocheckpoint", 0)?;
    set(&conn, "journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)?;
    set(&conn, "cache_size", -WRITER_CACHE_KIB)?;
    Ok(conn)
}

/// Opens a connection that cannot write, on a database that [`open_writer`] has made.
///
/// It never checkpoints, not even when it is closed last: that is the writer's.
pub(crate) fn open_reader(
    location: &Location,
    busy: Duration,
    vfs: Option<&str>,
) -> Result<Connection, BackendError> {
    let conn = connect(location, busy, vfs)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .opening("configure the connection")?;
    set(&conn, "query_only", "ON")?;
    set(&conn, "cache_size", -READER_CACHE_KIB)?;
    Ok(conn)
}

fn check_library() -> Result<(), BackendError> {
    if rusqlite::version_number() >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(refused(format!(
        "this program is linked with SQLite {}, and the engine needs 3.51.3 or newer: \
         build rusqlite with its `bundled` feature",
        rusqlite::version()
    )))
}

/// A connection with the settings that all share; none of them writes to the file.
fn connect(
    location: &Location,
    busy: Duration,
    vfs: Option<&str>,
) -> Result<Connection, BackendError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match location {
        // The path is absolute, so SQLite never takes it for a URI.
        Location::File(path) => open_file(path, flags, vfs),
        Location::Memory(name) => Connection::open_with_flags(
            memdb_uri(name),
            flags | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI,
        ),
    }
    .opening("open the database")?;
    conn.busy_timeout(busy).opening("set the busy timeout")?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    set(&conn, "foreign_keys", "ON")?;
    set(&conn, "trusted_schema", "OFF")?;
    set(&conn, "cell_size_check", "ON")?;
    set(&conn, "mmap_size", 0)?;
    set(&conn, "temp_store", "MEMORY")?;
    Ok(conn)
}

fn open_file(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    }
}

/// A connection in memory finds the VFS and asks nothing of it, so a name that is not there leaves no file behind.
fn check_vfs(location: &Location, vfs: &str) -> Result<(), BackendError> {
    if matches!(location, Location::Memory(_)) {
        return Err(refused(format!(
            "{} is not kept through a VFS: leave `{vfs}` out, or name a file",
            named(location)
        )));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match Connection::open_in_memory_with_flags_and_vfs(flags, vfs) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(format!(
            "SQLite cannot use the VFS `{vfs}`: {error}; register it in this process before the database is opened"
        ))),
    }
}

fn set(
    conn: &Connection,
    pragma: &'static str,
    value: impl rusqlite::ToSql,
) -> Result<(), BackendError> {
    conn.pragma_update(None, pragma, value).opening("configure the connection")
}

/// Two connections that switch a new file at once make one fail without waiting, because both hold a read lock.
fn use_wal(conn: &Connection, busy: Duration) -> Result<(), BackendError> {
    let mut left = busy;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(refused(format!(
                    "the database stays in journal mode `{mode}` instead of WAL: \
                     its file system has no shared memory; put the file on a local disk"
                )));
            }
            Err(error) if is_busy(&error) && !left.is_zero() => {
                thread::sleep(WAL_RETRY);
                left = left.saturating_sub(WAL_RETRY);
            }
            Err(error) => return Err(opening("switch the database to WAL", error)),
        }
    }
}

fn memdb_uri(name: &str) -> String {
    use std::fmt::Write as _;
    let mut uri = "file:/".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?vfs=memdb");
    uri
}

fn named(location: &Location) -> String {
    match location {
        Location::File(path) => format!("the database `{}`", path.display()),
        Location::Memory(name) => format!("the memory database `{name}`"),
    }
}

/// Makes a new file private to its user; the mode of one that exists is its owner's choice.
fn prepare_file(path: &Path) -> Result<(), BackendError> {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(refused(format!(
            "`{shown}` is a directory: name a file in it, for example `{}`",
            path.join("ff.db").display()
        ))),
        Ok(found) if !found.is_file() => {
            Err(refused(format!("`{shown}` is a device, socket or pipe: name a regular file")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
                Ok(_) => Ok(()),
                // Another process was faster; a link that leads nowhere stays as unreachable as before.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    Err(refused(format!("`{shown}` is a symbolic link to nothing: remove it")))
                }
                Err(error) => Err(unreachable_file(path, &error)),
            }
        }
        Err(error) => Err(unreachable_file(path, &error)),
    }
}

fn unreachable_file(path: &Path, error: &std::io::Error) -> BackendError {
    BackendError::Sqlite {
        kind: BackendErrorKind::Other,
        message: format!(
            "could not open or create the database `{}`: {error}; its directory must exist, \
             and this user must be able to write to both",
            path.display()
        ),
    }
}

/// Judges a file that has a log beside it through a connection that cannot write: closing a writable one would move a
/// foreign log into its file. Without a log, a writable connection leaves nothing behind either.
///
/// A log that only a writer can recover hides the schema from such a connection; then the writable one judges.
fn inspect_log(
    location: &Location,
    path: &Path,
    busy: Duration,
    vfs: Option<&str>,
) -> Result<(), BackendError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if !Path::new(&log).exists() {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = open_file(path, flags, vfs).and_then(|conn| {
        conn.busy_timeout(busy)?;
        look(&conn)
    });
    match found {
        Err(rusqlite::Error::SqliteFailure(error, _))
            if matches!(
                error.extended_code & 0xff,
                ffi::SQLITE_READONLY | ffi::SQLITE_CANTOPEN | ffi::SQLITE_BUSY
            ) =>
        {
            Ok(())
        }
        found => judge_found(found, location),
    }
}

fn judge_found(found: rusqlite::Result<Found>, location: &Location) -> Result<(), BackendError> {
    let name = named(location);
    match found {
        Ok(found) => judge(found, &name).map(drop),
        Err(error) => Err(match opening("read it", error) {
            BackendError::Sqlite { kind, message } => {
                BackendError::Sqlite { kind, message: format!("{name}: {message}") }
            }
            other => other,
        }),
    }
}

/// SQLite's locks and the shared memory of its WAL do not reach across a network, so two hosts would corrupt the file.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn refuse_network(path: &Path) -> Result<(), BackendError> {
    let Ok(system) = rustix::fs::statfs(path) else { return Ok(()) };
    match network_name(system.f_type) {
        None => Ok(()),
        Some(name) => Err(refused(format!(
            "the database `{}` lies on a network file system ({name}), where SQLite's locks and shared memory do not \
             hold and the file would be corrupted: put it on a local disk, or use the Postgres backend to share work \
             between machines",
            path.display()
        ))),
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn refuse_network(_path: &Path) -> Result<(), BackendError> {
    Ok(())
}

/// The names of `statfs(2)` for file systems that live on another host.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn network_name(f_type: i64) -> Option<&'static str> {
    Some(match f_type & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x564c => "NCP",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "Ceph",
        0x0102_1997 => "9P",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;
    use crate::migrate::migrate;

    const BUSY: Duration = Duration::from_secs(5);

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap();
        (dir, path)
    }

    fn writer(location: &Location) -> Result<Connection, BackendError> {
        open_writer(location, Durability::Full, BUSY, None)
    }

    fn migrated(location: &Location) -> Connection {
        let mut conn = writer(location).unwrap();
        migrate(&mut conn).unwrap();
        conn
    }

    fn pragma<T: rusqlite::types::FromSql>(conn: &Connection, name: &str) -> T {
        conn.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_writer_is_configured_for_durable_group_commit() {
        let (_dir, path) = directory();
        let location = Location::File(path.join("ff.db"));
        let conn = migrated(&location);
        assert_eq!(pragma::<String>(&conn, "journal_mode"), "wal");
        for (name, value) in [
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("trusted_schema", 0),
            ("cell_size_check", 1),
            ("temp_store", 2),
            ("wal_autocheckpoint", 0),
            ("journal_size_limit", 64 << 20),
            ("auto_vacuum", 2),
            // Ours stands in its place.
            ("busy_timeout", 0),
            ("query_only", 0),
        ] {
            assert_eq!(pragma::<i64>(&conn, name), value, "{name}");
        }
        let conn = open_writer(&location, Durability::Normal, BUSY, None).unwrap();
        assert_eq!(pragma::<i64>(&conn, "synchronous"), 1);
    }

    #[test]
    fn a_reader_sees_commits_and_cannot_write() {
        let (_dir, path) = directory();
        for location in [
            Location::File(path.join("ff.db")),
            Location::Memory("a reader sees commits".to_owned()),
        ] {
            let writer = migrated(&location);
            let reader = open_reader(&location, BUSY, None).unwrap();
            writer
                .execute("INSERT INTO ff_lane_registry (lane_id, registered_at_ms, registered_by) VALUES ('l', 1, 't')", [])
                .unwrap();
            let lanes: i64 = reader
                .query_row("SELECT count(*) FROM ff_lane_registry", [], |row| row.get(0))
                .unwrap();
            assert_eq!(lanes, 1);
            reader.execute("DELETE FROM ff_lane_registry", []).unwrap_err();
        }
    }

    #[test]
    fn memory_databases_of_two_names_are_two() {
        let one = migrated(&Location::Memory("two names/1".to_owned()));
        let two = writer(&Location::Memory("two names/2".to_owned())).unwrap();
        let tables = |conn: &Connection| -> i64 {
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
        };
        assert!(tables(&one) > 34);
        assert_eq!(tables(&two), 0);
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
        let (_dir, path) = directory();
        let file = path.join("ff.db");
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        let conn = migrated(&Location::File(file.clone()));
        assert_eq!((mode("ff.db"), mode("ff.db-wal"), mode("ff.db-shm")), (0o600, 0o600, 0o600));
        drop(conn);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        drop(migrated(&Location::File(file)));
        assert_eq!(mode("ff.db"), 0o640);
    }

    /// Opening fails with a message holding `part` and leaves the directory as it was, to the byte.
    fn refused_untouched(file: &Path, part: &str) {
        let listing = || {
            let mut files: Vec<_> = fs::read_dir(file.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect();
            files.sort();
            files
        };
        let before = listing();
        let error = writer(&Location::File(file.to_owned())).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.kind().is_retryable(), "{error}");
        assert!(before == listing(), "a refused open changed {}", file.display());
    }

    #[test]
    fn a_database_of_another_program_is_refused_untouched() {
        for journal in ["delete", "wal"] {
            let (_dir, path) = directory();
            let file = path.join("other.db");
            let other = Connection::open(&file).unwrap();
            other.pragma_update(None, "journal_mode", journal).unwrap();
            other.execute_batch("CREATE TABLE song (x); INSERT INTO song VALUES (1)").unwrap();
            drop(other);
            refused_untouched(&file, "another program");
        }
    }

    #[test]
    fn a_database_of_another_program_keeps_its_log() {
        let (_dir, path) = directory();
        let other = Connection::open(path.join("live.db")).unwrap();
        other.pragma_update(None, "journal_mode", "wal").unwrap();
        other.execute_batch("CREATE TABLE song (x); INSERT INTO song VALUES (1)").unwrap();
        // What a crash leaves: the file and the log, and no process.
        let crashed = path.join("crashed");
        fs::create_dir(&crashed).unwrap();
        let copy = |from: &str, to: &str| {
            fs::copy(path.join(from), crashed.join(to)).unwrap();
            fs::read(crashed.join(to)).unwrap()
        };
        let before = (copy("live.db", "other.db"), copy("live.db-wal", "other.db-wal"));
        let error = writer(&Location::File(crashed.join("other.db"))).unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
        let read = |name: &str| fs::read(crashed.join(name)).unwrap();
        assert!(before == (read("other.db"), read("other.db-wal")));
    }

    #[test]
    fn the_original_product_s_file_is_refused_untouched() {
        let (_dir, path) = directory();
        let file = path.join("old.db");
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE ff_exec_core (x)").unwrap();
        refused_untouched(&file, "0.15");
    }

    #[test]
    fn a_newer_schema_is_refused_untouched_with_both_versions() {
        let (_dir, path) = directory();
        let file = path.join("ff.db");
        let conn = migrated(&Location::File(file.clone()));
        conn.execute("INSERT INTO ff_schema_migration VALUES (9, 'later', 1)", []).unwrap();
        drop(conn);
        refused_untouched(&file, "schema version 9, and this build knows versions up to 2");
    }

    #[test]
    fn a_file_that_is_not_a_database_is_refused_untouched() {
        for content in ["short".to_owned(), "x".repeat(10_000)] {
            let (_dir, path) = directory();
            let file = path.join("notes.txt");
            fs::write(&file, content).unwrap();
            refused_untouched(&file, "not a database");
        }
    }

    #[test]
    fn a_truncated_file_is_refused_untouched() {
        for keep in [50, 600, 4096, 40_000] {
            let (_dir, path) = directory();
            let file = path.join("ff.db");
            drop(migrated(&Location::File(file.clone())));
            OpenOptions::new().write(true).open(&file).unwrap().set_len(keep).unwrap();
            refused_untouched(&file, "malformed");
        }
    }

    #[test]
    fn a_directory_a_device_and_a_dead_link_are_refused() {
        let (_dir, path) = directory();
        std::os::unix::fs::symlink(path.join("none"), path.join("link")).unwrap();
        for (file, part) in [
            (path.clone(), "is a directory"),
            (PathBuf::from("/dev/null"), "a device"),
            (path.join("link"), "link to nothing"),
            (path.join("none/ff.db"), "its directory must exist"),
        ] {
            let error = writer(&Location::File(file)).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(!path.join("none").exists());
    }

    #[test]
    fn a_read_only_file_is_refused() {
        if rustix::process::geteuid().is_root() {
            return; // Permissions do not bind root.
        }
        let (_dir, path) = directory();
        let file = path.join("ff.db");
        drop(migrated(&Location::File(file.clone())));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        let error = writer(&Location::File(file)).unwrap_err();
        assert!(error.to_string().contains("writable"), "{error}");
    }

    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    #[test]
    fn network_file_systems_are_known_by_their_magic_numbers() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        // A 32-bit magic number with its high bit set may come sign-extended.
        assert_eq!(network_name(-0x00ac_b2be), Some("CIFS"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(network_name(local), None);
        }
    }

    #[test]
    fn processes_that_start_at_once_share_one_schema() {
        let (_dir, path) = directory();
        for location in [
            Location::File(path.join("ff.db")),
            Location::Memory("processes that start at once".to_owned()),
        ] {
            // A memory database lives as long as somebody holds it.
            let held = matches!(location, Location::Memory(_)).then(|| writer(&location).unwrap());
            let applied: Vec<i64> = thread::scope(|scope| {
                let start = || {
                    let mut conn = writer(&location).unwrap();
                    migrate(&mut conn).unwrap().from
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(applied.iter().filter(|from| **from == 0).count(), 1, "{applied:?}");
            drop(held);
        }
    }
}
