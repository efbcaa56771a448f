//! `ff completion`: the script that completes commands in a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::error::Result;
use crate::output::Output;

/// Prints the completion script.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Which shell.
    shell: Shell,
}

pub(crate) fn run<C: CommandFactory>(args: &CompletionArgs, output: Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "ff", &mut script);
    output.bytes(&script)
}
