//! Owns the driver of a client that wants to be connected: it waits, resolves, connects, subscribes
//! again, and gives up with a diagnosis. The decisions are `halfopen_core::reconnect`'s.

mod why;

use std::{net::IpAddr, pin::Pin, time::Duration};

pub use halfopen_core::reconnect::{
    Cause, Diagnosis, EndedBy, FailedBy, GaveUp, Jitter, Pattern, Policy as ReconnectPolicy,
};
use halfopen_core::{
    Chance,
    reconnect::{self, Next},
};

pub use self::why::Why;
use crate::clock::{Clock, Running, chance};

type Attempt<C, E> = Pin<Box<dyn Future<Output = Result<C, E>> + Send>>;
type Subscribe<C, E> = Box<dyn FnMut(C) -> Attempt<C, E> + Send>;

/// A client that wants to be connected.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use halfopen::{Connect, Reconnecting, ReconnectPolicy, Why as _};
/// use std::time::Duration;
/// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
///
/// // The name is resolved anew for every attempt.
/// let connect = Connect::to("feed:7000").detect_within(Duration::from_secs(60));
/// let mut client = Reconnecting::new(ReconnectPolicy::default(), move || {
///     let connect = connect.clone();
///     async move { connect.open().await }
/// })
/// .resubscribe(|mut stream| async move {
///     stream.write_all(b"SUBSCRIBE news\n").await.map_err(halfopen::ConnectError::from)?;
///     Ok(stream)
/// });
/// loop {
///     let mut stream = client.up().await?;
///     let mut bytes = [0; 1024];
///     let error = loop {
///         match stream.read(&mut bytes).await {
///             Ok(0) => break std::io::ErrorKind::UnexpectedEof.into(),
///             Ok(read) => println!("{} bytes", read),
///             Err(error) => break error,
///         }
///     };
///     client.lost(error.ended_by(), None);
///     eprintln!("{}", client.diagnosis());
/// }
/// # }
/// ```
pub struct Reconnecting<C, E> {
    state: reconnect::Reconnect,
    connect: Box<dyn FnMut() -> Attempt<C, E> + Send>,
    subscribe: Option<Subscribe<C, E>>,
    local: Option<fn(&C) -> Option<IpAddr>>,
    clock: Running,
    chance: Chance,
}

impl<C: Send + 'static, E: Why + Send + 'static> Reconnecting<C, E> {
    /// Connects by `connect`, which has to begin anew each time: with a name, not with addresses that
    /// were resolved long ago.
    pub fn new<F>(policy: ReconnectPolicy, mut connect: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<C, E>> + Send + 'static,
    {
        let clock = Clock::default().start();
        Self {
            state: reconnect::Reconnect::new(policy, clock.now()),
            connect: Box::new(move || Box::pin(connect())),
            subscribe: None,
            local: None,
            clock,
            chance: chance(),
        }
    }

    /// What is to be done on every new connection before it counts as up: log in, subscribe, replay. If
    /// it fails, the attempt has failed.
    #[must_use]
    pub fn resubscribe<F>(self, mut subscribe: impl FnMut(C) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<C, E>> + Send + 'static,
    {
        let subscribe =
            Box::new(move |connection| -> Attempt<C, E> { Box::pin(subscribe(connection)) });
        Self { subscribe: Some(subscribe), ..self }
    }

    /// How to find the local address of a connection, so that the diagnosis can tell when it changes.
    #[must_use]
    pub fn local_address(self, local: fn(&C) -> Option<IpAddr>) -> Self {
        Self { local: Some(local), ..self }
    }

    /// With the time of `clock`, for tests that stop tokio's; and with this seed for the jitter. To be
    /// called before anything else has happened.
    #[must_use]
    pub fn on(self, policy: ReconnectPolicy, clock: Clock, seed: u64) -> Self {
        let clock = clock.start();
        let state = reconnect::Reconnect::new(policy, clock.now());
        Self { state, clock, chance: Chance::new(seed), ..self }
    }

    /// Waits as the policy says and connects, until there is a connection.
    ///
    /// Cancel-safe: if the future is dropped, the attempt that it was making ends and is made again by
    /// the next call, and no wait is shortened.
    ///
    /// # Errors
    /// [`GaveUpError`] when the policy gives up. Every later call fails at once.
    pub async fn up(&mut self) -> Result<C, GaveUpError<E>> {
        let mut last = None;
        loop {
            match self.state.poll(self.clock.now()) {
                Next::GiveUp(why) => {
                    return Err(GaveUpError { why, diagnosis: self.state.diagnosis(), last });
                }
                Next::WaitUntil(until) => {
                    tokio::time::sleep_until(self.clock.instant(until)).await;
                    continue;
                }
                // Whoever asks for a connection while one is up has lost it, and did not say how.
                Next::Up => {
                    self.lost(EndedBy::Other, None);
                    continue;
                }
                Next::Connect { .. } => {}
            }
            match self.attempt().await {
                Ok(connection) => {
                    let local = self.local.and_then(|local| local(&connection));
                    self.state.handle_up(self.clock.now(), local);
                    return Ok(connection);
                }
                Err(error) => {
                    self.state.handle_failed(self.clock.now(), error.failed_by(), &mut self.chance);
                    last = Some(error);
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<C, E> {
        let connection = (self.connect)().await?;
        match &mut self.subscribe {
            Some(subscribe) => subscribe(connection).await,
            None => Ok(connection),
        }
    }

    /// The connection is lost: how, and for how long nothing had been sent or heard before, if that is
    /// known. [`Why::ended_by`] says how for errors.
    pub fn lost(&mut self, by: EndedBy, idle: Option<Duration>) {
        self.state.handle_lost(self.clock.now(), by, idle, &mut self.chance);
    }

    /// The network has changed: the next [`Reconnecting::up`] does not wait.
    pub fn network_changed(&mut self) {
        self.state.handle_network_changed(self.clock.now());
    }

    /// What the lives and failures so far point to.
    pub fn diagnosis(&self) -> Diagnosis {
        self.state.diagnosis()
    }
}

impl<C, E> std::fmt::Debug for Reconnecting<C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconnecting").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The policy gave up.
#[derive(Debug, thiserror::Error)]
#[error("gave up {}: {diagnosis}", told(*why))]
#[non_exhaustive]
pub struct GaveUpError<E> {
    /// Why.
    pub why: GaveUp,
    /// What the history points to.
    pub diagnosis: Diagnosis,
    /// The last failure, if it happened in this call.
    pub last: Option<E>,
}

fn told(why: GaveUp) -> String {
    match why {
        GaveUp::Attempts(attempts) => format!("after {attempts} attempts"),
        GaveUp::Deadline(span) => format!("after {}", halfopen_core::Span(span)),
    }
}

#[cfg(test)]
mod tests;
