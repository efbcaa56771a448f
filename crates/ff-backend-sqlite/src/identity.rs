//! Whether a path still names the file that was opened.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file's place on its disk. Two paths with the same identity are one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of the file at `path`. Opens nothing.
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self { device: meta.dev(), inode: meta.ino() })
    }
}
