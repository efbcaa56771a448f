//! How an SDK reaches a backend that runs elsewhere.

#![expect(missing_docs, reason = "fields and variants carry the contract's own names")]

use std::time::Duration;

/// Where the backend is, how long to wait for it and how often to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendConfig {
    pub connection: BackendConnection,
    pub timeouts: BackendTimeouts,
    pub retry: BackendRetry,
}

impl BackendConfig {
    #[must_use]
    pub fn new(connection: BackendConnection) -> Self {
        Self { connection, timeouts: BackendTimeouts::default(), retry: BackendRetry::default() }
    }

    pub fn valkey(host: impl Into<String>, port: u16) -> Self {
        Self::new(BackendConnection::Valkey(ValkeyConnection::new(host, port)))
    }

    pub fn postgres(url: impl Into<String>) -> Self {
        Self::new(BackendConnection::Postgres(PostgresConnection::new(url)))
    }
}

/// The address, by kind of backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendConnection {
    Valkey(ValkeyConnection),
    Postgres(PostgresConnection),
}

/// `None` leaves the driver's own limit in place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackendTimeouts {
    pub request: Option<Duration>,
}

/// `None` leaves the driver's own value in place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackendRetry {
    pub exponent_base: Option<u32>,
    pub factor: Option<u32>,
    pub number_of_retries: Option<u32>,
    pub jitter_percent: Option<u32>,
}

/// A Valkey server; plain TCP, single node unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValkeyConnection {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    pub cluster: bool,
}

impl ValkeyConnection {
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, tls: false, cluster: false }
    }
}

/// A Postgres database and the size of the pool to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresConnection {
    pub url: String,
    pub max_connections: u32,
    pub min_connections: u32,
    pub acquire_timeout: Duration,
}

impl PostgresConnection {
    /// 0 to 10 connections, 30 s to get one.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            min_connections: 0,
            acquire_timeout: Duration::from_secs(30),
        }
    }
}
