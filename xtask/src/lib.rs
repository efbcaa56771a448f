//! What CI and developers run: formatting, lints, tests, documents.
//!
//! `cargo xtask help` lists the tasks. CI runs one of them, `cargo xtask ci`.

pub mod step;
pub mod tidy;

use std::path::{Path, PathBuf};

/// The directory of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The README's program, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
