//! What there is to see: executions one by one, a picture of all of them, and what was announced.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::PoisonError;

use ff_core::EngineError;
use ff_core::backend::ScannerFilter;
use ff_core::contracts::{
    AttemptInfo, ExecutionInfo, ExecutionSummary, FindExecutionsArgs, FindFlowsArgs,
    StreamCursor as FrameCursor, TransitionInfo,
};
use ff_core::state::PublicState;
use ff_core::stream_events::{CompletionEvent, LeaseHistoryEvent};
use ff_core::stream_subscribe::{StreamCursor, encode_event_cursor};
use ff_core::types::{ExecutionId, Namespace};
use futures_util::{Stream, StreamExt};

use super::{Bench, MARKER_LANE, PATIENCE};

impl Bench {
    /// The public state of an execution that is there.
    pub async fn state(&self, id: &ExecutionId) -> PublicState {
        self.engine.read_execution_state(id).await.expect("a read").expect("an execution")
    }

    /// The info of an execution that is there.
    pub async fn info(&self, id: &ExecutionId) -> ExecutionInfo {
        self.engine.read_execution_info(id).await.expect("a read").expect("an execution")
    }

    /// The summary of an execution that is there.
    pub async fn summary(&self, id: &ExecutionId) -> ExecutionSummary {
        self.engine.describe_summary(id).await.expect("a read").expect("an execution")
    }

    /// Its attempts.
    pub async fn attempts(&self, id: &ExecutionId) -> Vec<AttemptInfo> {
        self.engine.list_attempts(id).await.expect("a read")
    }

    /// Its attempt of this index.
    pub async fn attempt(&self, id: &ExecutionId, index: usize) -> AttemptInfo {
        self.attempts(id).await.get(index).expect("an attempt").clone()
    }

    /// Its transitions, by cause.
    pub async fn causes(&self, id: &ExecutionId) -> Vec<String> {
        self.transitions(id).await.into_iter().map(|row| row.cause).collect()
    }

    /// Its transitions.
    pub async fn transitions(&self, id: &ExecutionId) -> Vec<TransitionInfo> {
        self.engine.list_transitions(id, None, 1_000).await.expect("a read")
    }

    /// Its result.
    pub async fn result(&self, id: &ExecutionId) -> Option<Vec<u8>> {
        self.engine.get_execution_result(id).await.expect("a read")
    }

    /// Every execution a search finds, page by page.
    pub async fn find(&self, args: FindExecutionsArgs) -> Vec<ExecutionSummary> {
        let (mut found, mut args) = (Vec::new(), args);
        loop {
            let page = self.engine.find_executions(args.clone()).await.expect("a page");
            found.extend(page.executions);
            let Some(cursor) = page.next_cursor else { return found };
            args.cursor = Some(cursor);
        }
    }

    /// Everything the interface shows of every execution, lane and outbox, as text. Equal pictures
    /// mean that nothing was written.
    pub async fn picture(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for summary in self.find(FindExecutionsArgs::new().with_limit(1_000)).await {
            let id = summary.execution_id.clone();
            if self.is_marker(&id) {
                continue;
            }
            lines.push(format!("{summary:?}"));
            lines.push(format!("{:?}", self.info(&id).await));
            lines.push(format!("{:?}", self.engine.describe_execution(&id).await.expect("a read")));
            lines.extend(self.attempts(&id).await.iter().map(|attempt| format!("{attempt:?}")));
            lines.extend(self.transitions(&id).await.iter().map(|row| format!("{row:?}")));
            for attempt in self.attempts(&id).await {
                let index = attempt.attempt_index;
                let (from, to) = (FrameCursor::start(), FrameCursor::end());
                let frames = self.engine.read_stream(&id, index, from, to, 10_000).await;
                let summary = self.engine.read_summary(&id, index).await;
                lines.push(format!("{:?} {:?}", frames.expect("a read"), summary.expect("a read")));
            }
            lines.push(format!("{:?}", self.result(&id).await));
            let context = self.engine.read_execution_context(&id).await.expect("a read");
            let pending = ff_core::contracts::ListPendingWaitpointsArgs::new(id.clone());
            let pending = self.engine.list_pending_waitpoints(pending).await.expect("a read");
            lines.push(format!("{:?}", pending.entries));
            let tags: BTreeMap<_, _> = context.tags.into_iter().collect();
            lines.push(format!("{tags:?} {:?}", context.input_payload));
        }
        let waiting = ff_core::contracts::ListWaitingArgs::new().with_limit(1_000);
        lines.push(format!("{:?}", self.engine.list_waiting(waiting).await.expect("a page")));
        for flow in self.engine.find_flows(FindFlowsArgs::new()).await.expect("a read").flows {
            let graph = self.engine.describe_flow_graph(&flow.flow_id).await.expect("a read");
            lines.push(format!("{:?}", graph.expect("a flow")));
        }
        for lane in self.engine.list_lane_status().await.expect("a read") {
            if lane.lane_id.as_str() != MARKER_LANE {
                lines.push(format!("{lane:?}"));
            }
        }
        for worker in
            self.engine.list_worker_status(&Namespace::new("tenant")).await.expect("a read")
        {
            lines.push(format!("{worker:?}"));
        }
        let beginning = beginning();
        for event in self.lease_events(&beginning, &ScannerFilter::NOOP).await {
            lines.push(format!("{event:?}"));
        }
        for event in self.completions(&beginning, &ScannerFilter::NOOP).await {
            lines.push(format!("{event:?}"));
        }
        lines
    }

    /// Runs a call and asserts that nothing that can be seen has changed.
    pub async fn unchanged_by<T>(&self, call: impl Future<Output = T>) -> T {
        let before = without_cursors(self.picture().await);
        let answer = call.await;
        let after = without_cursors(self.picture().await);
        assert_eq!(before, after, "the call wrote something");
        answer
    }

    // ---- Events ----

    /// The lease events after `cursor` up to now that pass `filter`.
    pub async fn lease_events(
        &self,
        cursor: &StreamCursor,
        filter: &ScannerFilter,
    ) -> Vec<LeaseHistoryEvent> {
        let subscription = self
            .engine
            .subscribe_lease_history(cursor.clone(), filter)
            .await
            .expect("a subscription");
        let marker = self.mark(filter).await;
        let mut events = until(subscription, |event| *event.execution_id() == marker).await;
        events.retain(|event| !self.is_marker(event.execution_id()));
        events
    }

    /// The completions after `cursor` up to now that pass `filter`.
    pub async fn completions(
        &self,
        cursor: &StreamCursor,
        filter: &ScannerFilter,
    ) -> Vec<CompletionEvent> {
        let subscription =
            self.engine.subscribe_completion(cursor.clone(), filter).await.expect("a subscription");
        let marker = self.mark(filter).await;
        let mut events = until(subscription, |event| event.execution_id == marker).await;
        events.retain(|event| !self.is_marker(&event.execution_id));
        events
    }

    /// Every lease event there is.
    pub async fn all_lease_events(&self) -> Vec<LeaseHistoryEvent> {
        self.lease_events(&beginning(), &ScannerFilter::NOOP).await
    }

    /// Every completion there is.
    pub async fn all_completions(&self) -> Vec<CompletionEvent> {
        self.completions(&beginning(), &ScannerFilter::NOOP).await
    }

    /// The kinds of the lease events of one execution, in order.
    pub async fn lease_story(&self, id: &ExecutionId) -> Vec<&'static str> {
        let events = self.all_lease_events().await;
        events.iter().filter(|event| event.execution_id() == id).map(word).collect()
    }

    /// Writes one lease event and one completion that pass `filter`, so that a reader knows where
    /// the present is. Touches no other execution.
    async fn mark(&self, filter: &ScannerFilter) -> ExecutionId {
        let mut submit = self.submit().lane(MARKER_LANE);
        if let Some(namespace) = &filter.namespace {
            submit = submit.namespace(namespace.as_str());
        }
        if let Some((key, value)) = &filter.instance_tag {
            submit = submit.tag(key, value);
        }
        let id = submit.await;
        self.markers.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.engine.issue_grant_and_claim(self.take_args(&id)).await.expect("a marker");
        self.cancel(&id).await.expect("a marker");
        id
    }

    fn is_marker(&self, id: &ExecutionId) -> bool {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// The events up to the one that is wanted, without it.
async fn until<T>(
    mut subscription: impl Stream<Item = Result<T, EngineError>> + Unpin,
    is_wanted: impl Fn(&T) -> bool,
) -> Vec<T> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let event = next.expect("an event in time").expect("no end").expect("no error");
        if is_wanted(&event) {
            return events;
        }
        events.push(event);
    }
}

/// Cursors differ between two pictures, because the bench's own markers lie between events.
fn without_cursors(picture: Vec<String>) -> Vec<String> {
    let cut = |line: String| match (line.find("cursor: "), line.find("execution_id: ")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to..]),
        _ => line,
    };
    picture.into_iter().map(cut).collect()
}

/// The cursor in front of everything.
pub fn beginning() -> StreamCursor {
    encode_event_cursor(0)
}

/// The contract's word for a lease event.
pub fn word(event: &LeaseHistoryEvent) -> &'static str {
    match event {
        LeaseHistoryEvent::Acquired { .. } => "acquired",
        LeaseHistoryEvent::Renewed { .. } => "renewed",
        LeaseHistoryEvent::Expired { .. } => "expired",
        LeaseHistoryEvent::Reclaimed { .. } => "reclaimed",
        LeaseHistoryEvent::Revoked { .. } => "revoked",
        other => panic!("an event beyond the contract: {other:?}"),
    }
}

/// Why a lease was given back, ended or taken away.
pub fn cause(event: &LeaseHistoryEvent) -> &str {
    match event {
        LeaseHistoryEvent::Revoked { revoked_by, .. } => revoked_by,
        other => panic!("not the end of a lease: {other:?}"),
    }
}
