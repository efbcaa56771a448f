//! Asking before many things are changed at once.

use std::io::{IsTerminal as _, Write as _};

use crate::error::{Error, Exit, Result};
use crate::output::{Format, Output};

/// What a bulk command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Executions,
    Flows,
}

impl Noun {
    /// The word, and the command that lists them.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Executions => ("executions", "ff exec list"),
            Self::Flows => ("flows", "ff flow list"),
        }
    }
}

/// Says how many it will be, and asks if there is more than one.
pub(crate) fn confirmed(
    output: Output,
    verb: &str,
    noun: Noun,
    count: usize,
    yes: bool,
) -> Result<()> {
    if count <= 1 || yes {
        return Ok(());
    }
    let (noun, list) = noun.words();
    let asked = output.format == Format::Table
        && std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal();
    if asked {
        eprint!("{verb} {count} {noun}? [y/N] ");
        // The question is seen or not; the answer decides.
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        std::io::stdin()
            .read_line(&mut line)
            .map_err(|error| Error::io("read the answer", &error))?;
        if matches!(line.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        return Err(Error::new(Exit::Error, "not_confirmed", "nothing was changed")
            .why("the question was not answered with y"));
    }
    Err(Error::usage(format!("this would {verb} {count} {noun}"))
        .why("more than one needs a confirmation")
        .fix(format!("look at them with `{list}` and the same filter, then add --yes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_needs_a_yes() {
        let output = Output::new(None, true, false);
        assert!(confirmed(output, "cancel", Noun::Executions, 1, false).is_ok());
        assert!(confirmed(output, "cancel", Noun::Executions, 2, true).is_ok());
        let error = confirmed(output, "cancel", Noun::Flows, 2, false).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.what.contains("cancel 2 flows"));
    }
}
