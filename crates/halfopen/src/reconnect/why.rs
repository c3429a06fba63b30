//! Owns what an error says about an attempt that failed, or a connection that ended.

use std::io;

use halfopen_core::reconnect::{EndedBy, FailedBy};

use crate::{
    connect::ConnectError,
    death::{Dead, Evidence},
};

/// An error that can say why an attempt failed, or why a connection ended.
pub trait Why {
    /// Why the attempt failed that ended with this error.
    fn failed_by(&self) -> FailedBy;

    /// What ended the connection that ended with this error.
    fn ended_by(&self) -> EndedBy {
        EndedBy::Other
    }
}

impl Why for io::Error {
    fn failed_by(&self) -> FailedBy {
        if is_local_limit(self) {
            return FailedBy::LocalLimit;
        }
        match self.kind() {
            io::ErrorKind::ConnectionRefused => FailedBy::Refused,
            io::ErrorKind::TimedOut => FailedBy::TimedOut,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => FailedBy::Unreachable,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory => FailedBy::LocalLimit,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => FailedBy::Rejected,
            _ => FailedBy::Other,
        }
    }

    fn ended_by(&self) -> EndedBy {
        if let Some(dead) = Dead::of(self) {
            return dead.ended_by();
        }
        match self.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => EndedBy::Reset,
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => EndedBy::Silence,
            io::ErrorKind::UnexpectedEof => EndedBy::Finished,
            _ => EndedBy::Other,
        }
    }
}

/// EMFILE, ENFILE and ENOBUFS have no kind of their own. Numbers of uapi/asm-generic/errno.h.
fn is_local_limit(error: &io::Error) -> bool {
    cfg!(target_os = "linux") && matches!(error.raw_os_error(), Some(23 | 24 | 105))
}

impl Why for Dead {
    fn failed_by(&self) -> FailedBy {
        match self.evidence {
            Evidence::Reset => FailedBy::Rejected,
            _ => FailedBy::TimedOut,
        }
    }

    fn ended_by(&self) -> EndedBy {
        match self.evidence {
            Evidence::Reset => EndedBy::Reset,
            Evidence::TimedOut | Evidence::Unanswered { .. } | Evidence::Heartbeat { .. } => {
                EndedBy::Silence
            }
            _ => EndedBy::Other,
        }
    }
}

impl Why for ConnectError {
    fn failed_by(&self) -> FailedBy {
        match self {
            Self::Resolve { .. } | Self::NoAddress { .. } => FailedBy::Name,
            Self::TimedOut { .. } => FailedBy::TimedOut,
            // The last address failed last; with one address it is the only one.
            Self::Failed { failures, .. } => {
                failures.last().map_or(FailedBy::Other, |failure| failure.cause.failed_by())
            }
            Self::Subscribe(cause) => match cause.failed_by() {
                FailedBy::Other => FailedBy::Rejected,
                by => by,
            },
            Self::Detect(_) => FailedBy::Other,
        }
    }
}
