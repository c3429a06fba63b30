//! Owns the way from a name to a connection with a known detection time: resolving, racing the
//! addresses, one limit for all of it. The order of addresses is `halfopen_core::eyeballs`'.
//! Read: RFC 8305 (happy eyeballs).

use std::{fmt, io, net::SocketAddr, time::Duration};

use halfopen_core::{
    Span,
    eyeballs::{ATTEMPT_DELAY, interleaved},
};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{sleep, timeout_at},
};

use crate::{
    clock::deadline,
    detect::{DetectError, DetectWithin as _, Objective},
};

/// A connection to be: where to, and what is wanted of it.
///
/// ```no_run
/// # async fn example() -> Result<(), halfopen::ConnectError> {
/// use halfopen::Connect;
/// use std::time::Duration;
///
/// let stream = Connect::to("db:5432").detect_within(Duration::from_secs(60)).open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Connect {
    target: Target,
    objective: Option<Objective>,
    timeout: Duration,
    attempt_delay: Duration,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// `HOST:PORT`, resolved anew for every connection.
    Name(String),
    /// These addresses, tried in the order of RFC 8305.
    Addresses(Vec<SocketAddr>),
}

impl Connect {
    /// To a name and port (`"db:5432"`), which is resolved anew by every [`Connect::open`], or to
    /// addresses.
    pub fn to(target: impl Into<Target>) -> Self {
        Self {
            target: target.into(),
            objective: None,
            timeout: TIMEOUT,
            attempt_delay: ATTEMPT_DELAY,
        }
    }

    /// The connection gets this detection time, or is not opened.
    pub fn detect_within(self, objective: impl Into<Objective>) -> Self {
        Self { objective: Some(objective.into()), ..self }
    }

    /// Gives up after this time, resolving included. 20 seconds unless something else is said.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// From one attempt to the next while none has failed: 250 ms, as RFC 8305 says.
    pub const fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = delay;
        self
    }

    /// Opens the connection.
    ///
    /// Cancel-safe: if the future is dropped, all attempts end.
    ///
    /// # Errors
    /// [`ConnectError`], which names every address that was tried and what it answered.
    pub async fn open(&self) -> Result<TcpStream, ConnectError> {
        let deadline = deadline(self.timeout);
        let addresses = match &self.target {
            Target::Addresses(addresses) => addresses.clone(),
            Target::Name(name) => match timeout_at(deadline, lookup_host(name)).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(cause)) => return Err(ConnectError::Resolve { name: name.clone(), cause }),
                Err(_) => return Err(self.timed_out(Vec::new())),
            },
        };
        let addresses = interleaved(addresses);
        if addresses.is_empty() {
            return Err(ConnectError::NoAddress { target: self.target.clone() });
        }
        let mut failures = Vec::new();
        let race = race(addresses, self.attempt_delay, &mut failures);
        let stream = match timeout_at(deadline, race).await {
            Ok(Some(stream)) => stream,
            Ok(None) => {
                return Err(ConnectError::Failed { target: self.target.clone(), failures });
            }
            Err(_) => return Err(self.timed_out(failures)),
        };
        if let Some(objective) = self.objective {
            stream.detect_within(objective)?;
        }
        Ok(stream)
    }

    fn timed_out(&self, failures: Vec<Failure>) -> ConnectError {
        ConnectError::TimedOut { target: self.target.clone(), after: self.timeout, failures }
    }
}

/// The first of the addresses that answers; `None` if none does.
async fn race(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    failures: &mut Vec<Failure>,
) -> Option<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut start_next = true;
    loop {
        if start_next && let Some(address) = waiting.next() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        let more = waiting.len() > 0;
        start_next = tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok((_, Ok(stream)))) => return Some(stream),
                Some(Ok((address, Err(cause)))) => {
                    failures.push(Failure { address, cause });
                    // No use in waiting out the delay of an attempt that is over.
                    true
                }
                // An attempt neither panics nor is it aborted but by dropping them all.
                Some(Err(_)) => true,
                None if more => true,
                None => return None,
            },
            () = sleep(delay), if more => true,
        };
    }
}

/// One address that did not answer as it should.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The address.
    pub address: SocketAddr,
    /// What the system answered.
    pub cause: io::Error,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("resolve {name}: {cause}; check the name and this host's resolver")]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver answered.
        cause: io::Error,
    },
    /// The name has no address.
    #[error("connect to {target}: it has no address; check the name")]
    NoAddress {
        /// Where to.
        target: Target,
    },
    /// Every address failed.
    #[error(
        "connect to {target}: {}; check that the service runs and is let through",
        listed(failures)
    )]
    Failed {
        /// Where to.
        target: Target,
        /// What each address answered.
        failures: Vec<Failure>,
    },
    /// The time was over before any address answered.
    #[error("connect to {target}: no answer within {}{}; the host may be down or a firewall drops the packets", Span(*after), also(failures))]
    TimedOut {
        /// Where to.
        target: Target,
        /// The limit.
        after: Duration,
        /// What some addresses had answered by then.
        failures: Vec<Failure>,
    },
    /// It was opened, and what had to be done first on it failed (see
    /// [`Reconnecting::resubscribe`](crate::Reconnecting::resubscribe)).
    #[error("begin on the new connection: {0}")]
    Subscribe(#[from] io::Error),
    /// It was opened, and cannot have the detection time that was asked for.
    #[error(transparent)]
    Detect(#[from] DetectError),
}

fn listed(failures: &[Failure]) -> String {
    let each = failures.iter().map(|failure| format!("{}: {}", failure.address, failure.cause));
    each.collect::<Vec<_>>().join(", ")
}

fn also(failures: &[Failure]) -> String {
    if failures.is_empty() { String::new() } else { format!(" ({})", listed(failures)) }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Addresses(addresses) => {
                let each: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&each.join(", "))
            }
        }
    }
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Target {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Addresses(vec![address])
    }
}

impl From<Vec<SocketAddr>> for Target {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self::Addresses(addresses)
    }
}

/// The kernel alone tries for 131 s. People who wait have gone by then; a slow resolver and five SYNs
/// at 0, 1, 2, 3 and 4 s fit in easily.
const TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::time::Instant;

    use super::*;

    /// A port of the loopback on which nobody listens.
    fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_the_detection_time_is_set() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("localhost:{}", listener.local_addr().unwrap().port());
        let within = Duration::from_secs(30);
        let stream = Connect::to(name).detect_within(within).open().await.unwrap();
        assert!(stream.detection().unwrap().idle.latest().unwrap() <= within);
    }

    #[tokio::test]
    async fn an_address_that_refuses_costs_no_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let began = Instant::now();
        let connect = Connect::to(vec![refusing(), good]).attempt_delay(Duration::from_secs(60));
        let stream = connect.open().await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn whoever_wants_no_limit_may_say_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = Connect::to(listener.local_addr().unwrap()).timeout(Duration::MAX);
        assert!(connect.open().await.is_ok());
    }

    #[tokio::test]
    async fn every_address_that_failed_is_named() {
        let (one, other) = (refusing(), refusing());
        let error = Connect::to(vec![one, other]).open().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, ConnectError::Failed { failures, .. } if failures.len() == 2));
        assert!(text.contains(&one.to_string()) && text.contains("refused"), "{text}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_a_failure_of_the_resolver() {
        let error = Connect::to("no-such-host.invalid:1").open().await.unwrap_err();
        assert!(matches!(error, ConnectError::Resolve { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_detection_time_that_cannot_be_had_is_an_error_and_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = Connect::to(listener.local_addr().unwrap());
        let error = connect.detect_within(Duration::from_millis(1)).open().await.unwrap_err();
        assert!(matches!(error, ConnectError::Detect(DetectError::TooShort { .. })), "{error}");
    }
}
