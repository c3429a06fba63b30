//! Owns the error that a dead connection gives: one type, with the evidence, however it was found.

use std::{io, sync::Arc, time::Duration};

use halfopen_core::Span;

/// A connection is dead, and this is what shows it.
///
/// Reads and writes of a [`Watched`](crate::Watched) stream fail with an [`io::Error`] that carries
/// it; [`Dead::of`] gets it out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the connection is dead: {evidence}")]
pub struct Dead {
    /// What shows it.
    pub evidence: Evidence,
}

/// What shows that a connection is dead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Evidence {
    /// The peer sent RST: its host lives and knows no such connection, or its program aborted it.
    #[error("the peer reset it")]
    Reset,
    /// The kernel gave up: keepalive probes or retransmissions went unanswered.
    #[error("the kernel gave up waiting for the peer")]
    TimedOut,
    /// Retransmissions or probes have gone unanswered for too long, though not too long for the kernel.
    #[error("the peer has left the kernel's questions unanswered for {}", Span(*silent_for))]
    Unanswered {
        /// For how long, at the least.
        silent_for: Duration,
    },
    /// Heartbeats went unanswered.
    #[error("{missed} heartbeats went unanswered; nothing was heard for {}", Span(*silent_for))]
    Heartbeat {
        /// How many in a row.
        missed: u32,
        /// Since the last thing heard of the peer, pauses of our own process left out.
        silent_for: Duration,
    },
    /// Another error of the system ended it.
    #[error("{text}")]
    System {
        /// Its kind.
        kind: io::ErrorKind,
        /// Its text.
        text: Arc<str>,
    },
    /// Somebody who knows said so, and why.
    #[error("{0}")]
    Told(Arc<str>),
}

impl Dead {
    /// The death that `error` tells of, if it is one of ours.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What an error of the system says about its connection: `None` if it may still live.
    pub(crate) fn from_system(error: &io::Error) -> Option<Self> {
        let evidence = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Evidence::Reset,
            io::ErrorKind::TimedOut => Evidence::TimedOut,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => {
                Evidence::System { kind: error.kind(), text: error.to_string().into() }
            }
            _ => return None,
        };
        Some(Self { evidence })
    }

    pub(crate) fn to_io(&self) -> io::Error {
        let kind = match &self.evidence {
            Evidence::Reset => io::ErrorKind::ConnectionReset,
            Evidence::System { kind, .. } => *kind,
            Evidence::TimedOut
            | Evidence::Unanswered { .. }
            | Evidence::Heartbeat { .. }
            | Evidence::Told(_) => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, self.clone())
    }
}

impl From<Evidence> for Dead {
    fn from(evidence: Evidence) -> Self {
        Self { evidence }
    }
}
