//! Copying a database while it is in use.
//!
//! `VACUUM INTO` on a read connection: one read transaction, so the copy is the state after one commit; writers go on,
//! and the log cannot start anew until it is done. SQLite's backup API was the other way. It starts over whenever
//! another connection commits between two of its steps, so under load it ends only if it takes one step, which holds
//! the same read transaction; and it copies pages as they are, free ones and damaged ones included. `VACUUM INTO`
//! reads every row and builds every index anew: it costs more CPU, gives the smallest file, and stops at a damaged
//! page instead of handing it on.
//!
//! The copy is made beside its target under a name of its own, with mode 0600, forced to the disk, and only then given
//! its name by a rename that refuses one that is taken; last, the directory is forced to the disk. A backup that fails
//! leaves no target, and neither does a crash, which may leave a file `PATH.….partial`.
//!
//! The copy is not in WAL mode; the engine switches it when it opens it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ff_core::EngineError;
use ff_core::engine_error::ValidationKind;
use rusqlite::Connection;
use rustix::fs::{CWD, RenameFlags};
use serde::Serialize;
use uuid::Uuid;

use crate::aside;
use crate::backend::SqliteBackend;
use crate::error::{BACKEND, Doing as _};

/// What [`SqliteBackend::backup`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BackupReport {
    pub bytes: u64,
    pub pages: u64,
}

impl SqliteBackend {
    /// Writes a copy of the database to `path` while workers go on. The copy holds everything that was acknowledged
    /// before the call, is readable by this user only, and is on the disk when this answers.
    ///
    /// Refused if `path` exists. A backup that fails leaves nothing there.
    pub async fn backup(&self, path: &Path) -> Result<BackupReport, EngineError> {
        let target = std::path::absolute(path).map_err(|error| unwritable(path, &error))?;
        aside::run(self, "ff-sqlite-backup", move |conn| copy(conn, &target)).await
    }
}

fn copy(conn: &Connection, target: &Path) -> Result<BackupReport, EngineError> {
    if target.symlink_metadata().is_ok() {
        return Err(taken(target));
    }
    let partial = Partial::create(target)?;
    let name = partial.path.to_str().ok_or_else(|| {
        refused(format!("the backup path `{}` is not UTF-8: name another", target.display()))
    })?;
    // The copy is another file: the connection's own database is still only read.
    conn.pragma_update(None, "query_only", "OFF").doing("prepare the backup")?;
    conn.execute("VACUUM INTO ?1", [name]).doing("write the backup")?;
    let page_size: u32 =
        conn.query_row("PRAGMA page_size", [], |row| row.get(0)).doing("read the page size")?;
    let bytes = partial.keep(target)?;
    Ok(BackupReport { bytes, pages: bytes / u64::from(page_size.max(1)) })
}

/// A copy that has not got its name yet; removed if it never gets it.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, EngineError> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".{}.partial", Uuid::now_v7().simple()));
        let path = PathBuf::from(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unwritable(target, &error))?;
        Ok(Self { path, file })
    }

    /// Forces the copy to the disk and names it; answers its size.
    fn keep(self, target: &Path) -> Result<u64, EngineError> {
        let written = || -> io::Result<u64> {
            self.file.sync_all()?;
            self.file.metadata().map(|meta| meta.len())
        };
        let bytes = written().map_err(|error| unwritable(target, &error))?;
        match rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(taken(target)),
            Err(error) => return Err(unwritable(target, &error.into())),
        }
        let directory = target.parent().unwrap_or_else(|| Path::new("/"));
        if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
            // Whether the name would survive a power loss is not known, so there is no backup.
            let _ = std::fs::remove_file(target);
            return Err(unwritable(target, &error));
        }
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone if it was named.
        let _renamed = std::fs::remove_file(&self.path);
    }
}

fn taken(target: &Path) -> EngineError {
    refused(format!(
        "the backup target `{}` exists: name a new file, or remove that one first",
        target.display()
    ))
}

fn refused(detail: String) -> EngineError {
    EngineError::Validation { kind: ValidationKind::InvalidInput, detail }
}

fn unwritable(target: &Path, error: &io::Error) -> EngineError {
    EngineError::Transport {
        backend: BACKEND,
        source: format!(
            "could not write the backup `{}`: {error}; check that its directory exists, has room \
             and is writable",
            target.display()
        )
        .into(),
    }
}
