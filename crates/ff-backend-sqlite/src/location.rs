//! Where a database lives: the ways to write it, and the one key that two ways to write the same place share.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ff_core::BackendError;

use crate::error::refused;

/// The database that `:memory:` names: one for the whole process.
const MEMORY: &str = "ff-memory";

/// A place for a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Location {
    /// A file, under the canonical path of its directory. It need not exist yet.
    File(PathBuf),
    /// A database of this name in the memory of this process.
    Memory(String),
}

impl Location {
    /// Reads what a user writes for a database.
    ///
    /// | text | place |
    /// |---|---|
    /// | `ff.db`, `sqlite:ff.db`, `sqlite:///var/lib/ff.db`, `file:ff.db` | a file |
    /// | `:memory:`, `sqlite::memory:`, `file::memory:?cache=shared` | the shared memory database of this process |
    /// | `file:NAME?mode=memory&cache=shared`, `file:/NAME?vfs=memdb` | the memory database NAME |
    ///
    /// Only the forms with a scheme know percent-encoding and query items; a plain path is taken as it is.
    pub(crate) fn parse(text: &str) -> Result<Self, BackendError> {
        if text.contains('\0') {
            return Err(refused("the database path contains a NUL character: remove it"));
        }
        let uri = text.strip_prefix("sqlite:").or_else(|| text.strip_prefix("file:"));
        match uri {
            None if text == ":memory:" => Ok(Self::Memory(MEMORY.to_owned())),
            None => file(Path::new(text)),
            // `sqlite:file:…` is what a caller gets who puts a scheme before a URI of SQLite's own.
            Some(rest) if text.starts_with("sqlite:file:") => Self::parse(rest),
            Some(rest) => from_uri(text, rest),
        }
    }

    /// The same for all ways to write the same place, and for no two places.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Memory(name) => format!("memory:{name}"),
            Self::File(path) => match path.to_str() {
                Some(path) => format!("file:{path}"),
                None => format!("file:{path:?}"),
            },
        }
    }

    /// The path that both rusqlite and sqlx give to the `memdb` VFS: a leading slash makes the database shared.
    #[cfg(any(test, feature = "sqlx-pool"))]
    pub(crate) fn memdb_path(name: &str) -> String {
        format!("/{name}")
    }
}

/// What the query items of a URI ask for.
#[derive(Default)]
struct Items {
    memory: bool,
    must_exist: bool,
}

fn from_uri(text: &str, rest: &str) -> Result<Location, BackendError> {
    if rest.contains('#') {
        return Err(refused(format!(
            "the database URI `{text}` has a fragment: write a `#` in a file name as %23"
        )));
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let items = items(text, query)?;
    let path = decode(text, without_authority(text, path)?)?;
    if path == ":memory:" {
        return Ok(Location::Memory(MEMORY.to_owned()));
    }
    if items.memory {
        // SQLite's own URIs write a shared `memdb` name with a leading slash.
        let name = path.strip_prefix('/').unwrap_or(&path);
        if name.is_empty() {
            return Err(refused(format!(
                "the memory database in `{text}` has no name: write `:memory:` or `file:NAME?mode=memory`"
            )));
        }
        return Ok(Location::Memory(name.to_owned()));
    }
    let location = file(Path::new(&path))?;
    if items.must_exist && !Path::new(&path).exists() {
        return Err(refused(format!(
            "`{path}` does not exist and `{text}` says mode=rw: create it with mode=rwc, or check the path"
        )));
    }
    Ok(location)
}

fn items(text: &str, query: &str) -> Result<Items, BackendError> {
    let mut items = Items::default();
    for item in query.split('&').filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        match (decode(text, name)?.as_str(), decode(text, value)?.as_str()) {
            ("mode", "memory") | ("vfs", "memdb") => items.memory = true,
            ("mode", "rwc") | ("cache", "shared" | "private") => {}
            ("mode", "rw") => items.must_exist = true,
            ("mode", "ro") => {
                return Err(refused(format!(
                    "`{text}` says mode=ro, but an engine writes: use mode=rwc, or read the file with a SQLite tool"
                )));
            }
            ("mode" | "cache" | "vfs", value) => {
                return Err(refused(format!(
                    "`{text}`: `{value}` is not a known value of {name}: mode is memory, rwc or rw; \
                     cache is shared or private; vfs is memdb"
                )));
            }
            (name, _) => {
                return Err(refused(format!(
                    "`{text}`: `{name}` is not a known item of a database URI: mode, cache and vfs are"
                )));
            }
        }
    }
    Ok(items)
}

/// `//host/path` names a host; only this one has files we can lock. `sqlite://ff.db`, as sqlx writes it, has none.
fn without_authority<'a>(text: &str, path: &'a str) -> Result<&'a str, BackendError> {
    let Some(rest) = path.strip_prefix("//") else { return Ok(path) };
    if text.starts_with("sqlite:") || rest.starts_with('/') {
        return Ok(rest);
    }
    match rest.strip_prefix("localhost") {
        Some(path) if path.starts_with('/') => Ok(path),
        _ => Err(refused(format!(
            "`{text}` names another host: write `file:///absolute/path` or `file:relative/path`"
        ))),
    }
}

fn decode(text: &str, part: &str) -> Result<String, BackendError> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let escaped = match tail {
            [high, low, ..] => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        let Some((high, low)) = escaped else {
            return Err(refused(format!(
                "`{text}`: a `%` must be followed by two hexadecimal digits; write a literal one as %25"
            )));
        };
        bytes.push(high << 4 | low);
        rest = &tail[2..];
    }
    match String::from_utf8(bytes) {
        Ok(decoded) if decoded.contains('\0') => {
            Err(refused(format!("`{text}`: the database path contains a NUL character (%00)")))
        }
        Ok(decoded) => Ok(decoded),
        Err(_) => Err(refused(format!("`{text}`: the percent-encoded bytes are not UTF-8"))),
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The canonical place of a database file: links are followed, so that one file has one key.
fn file(path: &Path) -> Result<Location, BackendError> {
    let shown = path.display();
    if path.as_os_str().is_empty() {
        return Err(refused("the database path is empty: name a file, or write `:memory:`"));
    }
    let directory = || {
        refused(format!(
            "`{shown}` is a directory: name a file in it, for example `{}`",
            path.join("ff.db").display()
        ))
    };
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(directory());
    }
    match fs::canonicalize(path) {
        Ok(canonical) if canonical.is_dir() => Err(directory()),
        Ok(canonical) => Ok(Location::File(canonical)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let name = path.file_name().ok_or_else(directory)?;
            Ok(Location::File(parent(path)?.join(name)))
        }
        Err(error) => Err(refused(format!("`{shown}` cannot be reached: {error}"))),
    }
}

fn parent(path: &Path) -> Result<PathBuf, BackendError> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    };
    fs::canonicalize(parent).map_err(|error| {
        refused(format!(
            "the directory `{}` for the database `{}` cannot be reached: {error}; create it first",
            parent.display(),
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        Location::parse(text).unwrap()
    }

    fn refusal(text: &str) -> String {
        Location::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn every_spelling_of_memory_is_one_database() {
        for text in [
            ":memory:",
            "sqlite::memory:",
            "file::memory:",
            "file::memory:?cache=shared",
            "sqlite:file::memory:?cache=shared",
        ] {
            assert_eq!(parse(text), Location::Memory("ff-memory".to_owned()), "{text}");
        }
        for text in [
            "file:a%20b?mode=memory&cache=shared",
            "file:/a%20b?vfs=memdb",
            "sqlite:a b?mode=memory",
        ] {
            assert_eq!(parse(text), Location::Memory("a b".to_owned()), "{text}");
        }
        assert_ne!(parse("file:a?mode=memory").key(), parse("file:b?mode=memory").key());
    }

    #[test]
    fn every_spelling_of_a_file_has_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let (shown, file) = (base.display(), base.join("a b.db"));
        fs::create_dir(base.join("sub")).unwrap();
        let spellings = [
            format!("{shown}/a b.db"),
            format!("{shown}/sub/../a b.db"),
            format!("sqlite:{shown}/a b.db"),
            format!("sqlite://{shown}/a%20b.db?mode=rwc"),
            format!("file:{shown}/a%20b.db?cache=private"),
            format!("file://{shown}/a%20b.db"),
            format!("file://localhost{shown}/a%20b.db"),
        ];
        for exists in [false, true] {
            if exists {
                fs::write(&file, "").unwrap();
            }
            for text in &spellings {
                assert_eq!(parse(text), Location::File(file.clone()), "{text}");
                assert_eq!(parse(text).key(), parse(&spellings[0]).key());
            }
        }
        std::os::unix::fs::symlink(&file, base.join("link.db")).unwrap();
        assert_eq!(parse(&format!("{shown}/link.db")), Location::File(file));
    }

    #[test]
    fn a_plain_path_is_taken_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let text = format!("{}/100%?mode=memory#1", base.display());
        assert_eq!(parse(&text), Location::File(base.join("100%?mode=memory#1")));
    }

    #[test]
    fn what_cannot_be_a_database_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let shown = dir.path().display();
        for (text, part) in [
            (String::new(), "is empty"),
            ("sqlite:".to_owned(), "is empty"),
            ("a\0b".to_owned(), "NUL"),
            ("file:a%00b".to_owned(), "NUL"),
            ("file:a%ff".to_owned(), "not UTF-8"),
            ("file:a%2".to_owned(), "two hexadecimal digits"),
            ("file:a#b".to_owned(), "%23"),
            ("file:?mode=memory".to_owned(), "has no name"),
            ("file:a?mode=ro".to_owned(), "an engine writes"),
            ("file:a?mode=rx".to_owned(), "`rx` is not a known value of mode"),
            ("file:a?nolock=1".to_owned(), "`nolock` is not a known item"),
            ("file:a?vfs=unix-none".to_owned(), "`unix-none` is not a known value of vfs"),
            ("file://host/a".to_owned(), "another host"),
            (format!("{shown}"), "is a directory"),
            (format!("{shown}/x/"), "is a directory"),
            (format!("{shown}/.."), "is a directory"),
            (format!("{shown}/none/ff.db"), "create it first"),
            (format!("file:{shown}/none.db?mode=rw"), "says mode=rw"),
        ] {
            let message = refusal(&text);
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }
}
