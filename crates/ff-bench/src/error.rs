//! What can go wrong in a benchmark, in one shape.

use std::error::Error;
use std::fmt;

/// Why a benchmark ended early: what it was doing, and what stopped it.
#[derive(Debug)]
pub struct BenchError {
    doing: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl BenchError {
    pub(crate) fn new(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), source: None }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            None => f.write_str(&self.doing),
            Some(source) => write!(f, "could not {}: {source}", self.doing),
        }
    }
}

impl Error for BenchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

pub(crate) trait Doing<T> {
    /// Names what failed.
    fn doing(self, what: &str) -> Result<T, BenchError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Doing<T> for Result<T, E> {
    fn doing(self, what: &str) -> Result<T, BenchError> {
        self.map_err(|error| BenchError { doing: what.to_owned(), source: Some(error.into()) })
    }
}
