//! A backend that pushes completions to an engine running in the same process.

use std::pin::Pin;

use async_trait::async_trait;
use futures_core::Stream;

use crate::backend::{CompletionPayload, ScannerFilter};
use crate::engine_error::EngineError;

/// Completions as they happen, until the backend goes away.
pub type CompletionStream = Pin<Box<dyn Stream<Item = CompletionPayload> + Send + Unpin>>;

/// Tells of every completion from the moment of subscription; nothing is replayed.
#[async_trait]
pub trait CompletionBackend: Send + Sync + 'static {
    /// Subscribes to all completions.
    async fn subscribe_completions(&self) -> Result<CompletionStream, EngineError>;

    /// Subscribes to the completions that pass `filter`; a backend without filters refuses any but a no-op.
    async fn subscribe_completions_filtered(
        &self,
        filter: &ScannerFilter,
    ) -> Result<CompletionStream, EngineError> {
        if filter.is_noop() {
            self.subscribe_completions().await
        } else {
            Err(EngineError::Unavailable { op: "subscribe_completions_filtered" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    #[async_trait]
    impl CompletionBackend for Silent {
        async fn subscribe_completions(&self) -> Result<CompletionStream, EngineError> {
            Ok(Box::pin(futures_util::stream::empty()))
        }
    }

    #[tokio::test]
    async fn a_backend_without_filters_takes_only_the_no_op() {
        assert!(Silent.subscribe_completions_filtered(&ScannerFilter::NOOP).await.is_ok());
        let filter = ScannerFilter::new().with_namespace("tenant");
        assert!(matches!(
            Silent.subscribe_completions_filtered(&filter).await,
            Err(EngineError::Unavailable { op: "subscribe_completions_filtered" })
        ));
    }
}
