//! The store behind every command: one SQLite database, opened for what the command needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ff_backend_sqlite::{BackupReport, SqliteBackend, SqliteOptions, VerifyReport};
use ff_core::engine_backend::EngineBackend;
use ff_core::machine::Limits;

use crate::error::{Error, Exit, Result};

/// How long the end of a command waits for background work.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Which database, and with which limits.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// As the user wrote it.
    pub(crate) url: String,
    /// What the engine takes and gives.
    pub(crate) limits: Limits,
}

/// What a command does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It brings work or does work: the file may be new, and what is due is settled meanwhile.
    Serve,
    /// It brings work and leaves: the file may be new.
    Submit,
    /// It looks at or changes what is there: without a file there is nothing.
    Inspect,
}

/// An open database.
pub(crate) struct Store {
    sqlite: Arc<SqliteBackend>,
}

impl Store {
    /// Opens the database.
    pub(crate) async fn open(location: &Location, purpose: Purpose) -> Result<Self> {
        if purpose == Purpose::Inspect
            && let Some(path) = file_of(&location.url)
            && !path.exists()
        {
            return Err(Error::new(
                Exit::NotFound,
                "store_not_found",
                format!("there is no store at `{}`", path.display()),
            )
            .why("the file does not exist, and this command makes none")
            .fix("`ff submit` creates it; --store sqlite:PATH or FF_STORE names another"));
        }
        let sqlite = SqliteOptions::new(location.url.clone())
            .sweeps(purpose == Purpose::Serve)
            .limits(location.limits.clone())
            .open()
            .await
            .map_err(|error| Error::open(&location.url, &error))?;
        Ok(Self { sqlite })
    }

    /// The engine.
    pub(crate) fn engine(&self) -> Arc<dyn EngineBackend> {
        Arc::<SqliteBackend>::clone(&self.sqlite)
    }

    /// Checks every invariant, row by row.
    pub(crate) async fn verify(&self) -> Result<VerifyReport> {
        self.sqlite.verify().await.map_err(|error| Error::engine("verify the store", &error))
    }

    /// Copies the database to a new file while others work on it.
    pub(crate) async fn backup(&self, path: &Path) -> Result<BackupReport> {
        self.sqlite
            .backup(path)
            .await
            .map_err(|error| Error::engine(&format!("back up to `{}`", path.display()), &error))
    }

    /// Ends background work. What is acknowledged is stored already, so a failure here loses nothing.
    pub(crate) async fn close(self) {
        if let Err(error) = self.sqlite.shutdown_prepare(SHUTDOWN_GRACE).await {
            tracing::debug!(%error, "background work did not end in time");
        }
    }
}

/// The file behind the URL, or `None` for one in memory and for a spelling only the backend can read.
fn file_of(url: &str) -> Option<PathBuf> {
    let (path, _) = split(url);
    if path.is_empty() || path == ":memory:" || url.contains("memory") || url.contains("memdb") {
        return None;
    }
    if is_uri(url) && path.contains('%') {
        return None;
    }
    Some(PathBuf::from(path))
}

/// The URL with an absolute path, so that it names the same file from any directory.
pub(crate) fn absolute(url: &str, directory: &Path) -> String {
    let (path, query) = split(url);
    let in_memory = path == ":memory:" || query.contains("memory") || query.contains("memdb");
    if in_memory || path.is_empty() || path.starts_with('/') {
        return url.to_owned();
    }
    let scheme = if url.starts_with("file:") { "file:" } else { "sqlite:" };
    let relative = path.strip_prefix("./").unwrap_or(path);
    if !is_uri(url) {
        return directory.join(relative).display().to_string();
    }
    let directory = directory.display().to_string();
    let encoded = directory.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("{scheme}{}/{relative}{query}", encoded.trim_end_matches('/'))
}

fn is_uri(url: &str) -> bool {
    url.starts_with("sqlite:") || url.starts_with("file:")
}

/// Path and query; the query keeps its question mark.
fn split(url: &str) -> (&str, &str) {
    if !is_uri(url) {
        return (url, "");
    }
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("file:").unwrap_or(rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    rest.find('?').map_or((rest, ""), |at| rest.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_keeps_its_name_in_another_directory() {
        let here = Path::new("/home/me");
        for (url, expected) in [
            ("sqlite:./flowfabric.db", "sqlite:/home/me/flowfabric.db"),
            ("sqlite:a/b.db?mode=rwc", "sqlite:/home/me/a/b.db?mode=rwc"),
            ("sqlite:/var/x.db", "sqlite:/var/x.db"),
            ("sqlite:///var/x.db", "sqlite:///var/x.db"),
            ("file:x.db", "file:/home/me/x.db"),
            ("x.db", "/home/me/x.db"),
            ("../x.db", "/home/me/../x.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            (":memory:", ":memory:"),
            ("file:x?mode=memory&cache=shared", "file:x?mode=memory&cache=shared"),
        ] {
            assert_eq!(absolute(url, here), expected);
        }
        assert_eq!(absolute("sqlite:x.db", Path::new("/a%b?c")), "sqlite:/a%25b%3Fc/x.db");
    }

    #[test]
    fn only_a_plain_file_is_looked_for() {
        assert_eq!(file_of("sqlite:./a.db"), Some(PathBuf::from("./a.db")));
        assert_eq!(file_of("sqlite:///a.db?mode=rwc"), Some(PathBuf::from("/a.db")));
        assert_eq!(file_of("a.db"), Some(PathBuf::from("a.db")));
        for url in ["sqlite::memory:", ":memory:", "file:x?mode=memory", "sqlite:a%20b.db"] {
            assert_eq!(file_of(url), None, "{url}");
        }
    }
}
