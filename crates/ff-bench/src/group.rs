//! Group commit by hand: the floor beside many clients.
//!
//! A thread of its own takes what up to 64 waiting clients ask from a channel, writes it in one
//! transaction and answers them after its commit. The clients are tasks of the same runtime as the
//! engine's.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::error::{BenchError, Doing as _};

/// Clients at once, and the most that one commit of the floor serves.
pub(crate) const CLIENTS: usize = 64;

/// The name of the floor's thread, as the system knows it.
pub(crate) const FLOOR_WRITER: &str = "ff-bench-floor";

/// What a client asks, and where it hears the answer.
pub(crate) type Request<Q, A> = (Q, oneshot::Sender<A>);

/// The thread that commits groups.
#[derive(Debug)]
pub(crate) struct Committer<Q, A> {
    client: Client<Q, A>,
    thread: JoinHandle<Result<(), BenchError>>,
}

impl<Q: Send + 'static, A: Send + 'static> Committer<Q, A> {
    /// Starts a thread that serves what waits until nobody can ask any more.
    pub(crate) fn start(
        serve: impl FnOnce(&Waiting<Q, A>) -> Result<(), BenchError> + Send + 'static,
    ) -> Result<Self, BenchError> {
        let (requests, waiting) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(FLOOR_WRITER.to_owned())
            .spawn(move || serve(&Waiting(waiting)))
            .doing("start the floor's thread")?;
        Ok(Self { client: Client(requests), thread })
    }

    pub(crate) fn client(&self) -> Client<Q, A> {
        self.client.clone()
    }

    /// Ends the thread, and answers what its clients measured. Its own error comes first: to them it was only silent.
    pub(crate) fn stop<T>(self, measured: Result<T, BenchError>) -> Result<T, BenchError> {
        drop(self.client);
        self.thread.join().map_err(|_| BenchError::new("the floor's thread panicked"))??;
        measured
    }
}

/// Asks the thread.
#[derive(Debug)]
pub(crate) struct Client<Q, A>(Sender<Request<Q, A>>);

impl<Q, A> Clone for Client<Q, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Q: Send + 'static, A: Send + 'static> Client<Q, A> {
    /// Asks, and waits for the commit.
    pub(crate) async fn ask(&self, what: Q) -> Result<A, BenchError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send((what, reply));
        sent.map_err(|_| BenchError::new("the floor's thread has ended"))?;
        answer.await.doing("hear from the floor")
    }
}

/// What the clients ask.
#[derive(Debug)]
pub(crate) struct Waiting<Q, A>(Receiver<Request<Q, A>>);

impl<Q, A> Waiting<Q, A> {
    /// All that waits, at most one request a client; waits for the first. `None` when no client is left.
    pub(crate) fn group(&self) -> Option<Vec<Request<Q, A>>> {
        let first = self.0.recv().ok()?;
        Some(std::iter::once(first).chain(self.0.try_iter()).take(CLIENTS).collect())
    }
}

/// Runs [`CLIENTS`] clients to their end, each with its number; answers what each did.
pub(crate) async fn clients<T, F>(client: impl Fn(usize) -> F) -> Result<Vec<T>, BenchError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, BenchError>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(number));
    }
    let mut done = Vec::with_capacity(CLIENTS);
    while let Some(ended) = clients.join_next().await {
        done.push(ended.doing("run a client")??);
    }
    Ok(done)
}
