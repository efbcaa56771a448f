//! `ff backup`: a copy of the store, taken while others work on it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::duration::size;
use crate::error::{Error, Exit, Result};
use crate::output::{Format, Output};
use crate::store::{Location, Purpose, Store};

/// Copies the store to a file.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist yet.
    path: PathBuf,
}

pub(crate) async fn run(location: &Location, output: Output, args: BackupArgs) -> Result<ExitCode> {
    let shown = args.path.display().to_string();
    if args.path.exists() {
        return Err(Error::new(Exit::Conflict, "exists", format!("`{shown}` exists already"))
            .why("a backup never replaces a file")
            .fix("name a new file, or move this one away"));
    }
    let store = Store::open(location, Purpose::Inspect).await?;
    let report = store.backup(&args.path).await?;
    store.close().await;
    match output.format {
        Format::Json => {
            output.json(&json!({"path": shown, "bytes": report.bytes, "pages": report.pages}))
        }
        Format::Id => output.line(&shown),
        Format::Table => output.line(&format!(
            "backed up {} in {} pages to {}",
            size(report.bytes),
            report.pages,
            crate::output::escape(&shown)
        )),
    }?;
    Ok(ExitCode::SUCCESS)
}
