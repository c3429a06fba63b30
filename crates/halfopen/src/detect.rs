//! Owns `detect_within`: an objective becomes options of a socket, and what they then promise can be
//! read. The arithmetic is that of `halfopen_core::keeping`. Read: tcp(7), docs/detection-time.md.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

use std::{fmt, io, time::Duration};

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

use halfopen_core::Span;

/// What is wanted of a connection: that its owner learns in time that the peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Objective {
    pub(crate) within: Duration,
    pub(crate) survive_idle: Option<Duration>,
    pub(crate) user_timeout: bool,
}

impl Objective {
    /// The owner learns within this time that the peer is gone, if nothing is in flight: by keepalive,
    /// with three probes, so that a lost one ends nothing (RFC 1122, section 4.2.3.6).
    pub const fn within(within: Duration) -> Self {
        Self { within, survive_idle: None, user_timeout: false }
    }

    /// Also probes so often that a box on the path which forgets flows after being idle for `forgets`
    /// does not forget this one, even if one probe is lost.
    pub const fn survive_idle(self, forgets: Duration) -> Self {
        Self { survive_idle: Some(forgets), ..self }
    }

    /// Also within that time with data unacknowledged, by TCP_USER_TIMEOUT (RFC 5482; Linux).
    ///
    /// **This ends connections to peers that live and do not read for so long**: the kernel does not
    /// tell a full peer from a dead one. Without that harm, watch the stream instead
    /// ([`Watched::dead_after`](crate::Watched::dead_after)).
    pub const fn by_user_timeout(self) -> Self {
        Self { user_timeout: true, ..self }
    }

    fn planned(self) -> halfopen_core::keeping::Objective {
        halfopen_core::keeping::Objective {
            detect_within: self.within,
            survive_idle: self.survive_idle,
            user_timeout: self.user_timeout,
        }
    }
}

impl From<Duration> for Objective {
    fn from(within: Duration) -> Self {
        Self::within(within)
    }
}

/// The detection time of a connection: when its owner learns it, if the peer vanished now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detection {
    /// Nothing is in flight, and nothing is written.
    pub idle: Learns,
    /// Something is in flight, or is written next.
    pub busy: Learns,
}

/// One value of a detection time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Learns {
    /// A call fails in this interval. Kernel timers fire late by a known bound, so it is never a point.
    Within {
        /// Not sooner than this.
        earliest: Duration,
        /// Not later than this.
        latest: Duration,
    },
    /// No timer runs that would end the connection.
    Never,
    /// It cannot be said; the reason fits after "unknown: ".
    Unknown(String),
}

impl Learns {
    /// The latest moment; `None` where there is none, or none is known.
    pub const fn latest(&self) -> Option<Duration> {
        match self {
            Self::Within { latest, .. } => Some(*latest),
            Self::Never | Self::Unknown(_) => None,
        }
    }

    fn is_within(&self, limit: Duration) -> bool {
        self.latest().is_some_and(|latest| latest <= limit)
    }
}

impl fmt::Display for Learns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within { earliest, latest } => {
                let (earliest, latest) = (Span(*earliest).to_string(), Span(*latest).to_string());
                if earliest == latest {
                    f.pad(&latest)
                } else {
                    f.pad(&format!("{earliest}..{latest}"))
                }
            }
            Self::Never => f.pad("never"),
            Self::Unknown(why) => f.pad(&format!("unknown: {why}")),
        }
    }
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "idle {}, busy {}", self.idle, self.busy)
    }
}

/// Sets and reads the detection time of a TCP connection. Implemented for everything that lends a
/// descriptor ([`AsFd`](std::os::fd::AsFd), on Windows `AsSocket`): streams of tokio and of the
/// standard library, their references, `socket2::Socket`.
///
/// ```
/// use halfopen::DetectWithin as _;
/// use std::{net::{TcpListener, TcpStream}, time::Duration};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// let detection = stream.detect_within(Duration::from_secs(60))?;
/// assert!(detection.idle.latest().is_some_and(|latest| latest <= Duration::from_secs(60)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DetectWithin {
    /// Sets the options that meet `objective`, unless it is met already, and returns what they promise.
    /// What the connection is doing goes on: no byte is sent, and nothing that runs is restarted but
    /// the wait for the first keepalive probe.
    ///
    /// # Errors
    /// [`DetectError`]; the options are then as they were.
    fn detect_within(&self, objective: impl Into<Objective>) -> Result<Detection, DetectError>;

    /// The detection time with the options as they are.
    ///
    /// # Errors
    /// [`DetectError::System`].
    fn detection(&self) -> Result<Detection, DetectError>;
}

#[cfg(unix)]
impl<S: std::os::fd::AsFd> DetectWithin for S {
    fn detect_within(&self, objective: impl Into<Objective>) -> Result<Detection, DetectError> {
        system::detect_within(self.as_fd(), objective.into())
    }

    fn detection(&self) -> Result<Detection, DetectError> {
        system::detection(self.as_fd())
    }
}

#[cfg(windows)]
impl<S: std::os::windows::io::AsSocket> DetectWithin for S {
    fn detect_within(&self, objective: impl Into<Objective>) -> Result<Detection, DetectError> {
        system::detect_within(self.as_socket(), objective.into())
    }

    fn detection(&self) -> Result<Detection, DetectError> {
        system::detection(self.as_socket())
    }
}

/// Why a detection time could not be set or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// Kernel timers count in seconds and fire late.
    #[error("detect within {}: the kernel's timers can promise {} at the best; ask for that, or use a heartbeat", Span(*wanted), Span(*least))]
    TooShort {
        /// What was asked for.
        wanted: Duration,
        /// The least that can be promised.
        least: Duration,
    },
    /// Only open connections can be kept.
    #[error("set a detection time: the connection is {state}, not open; connect first")]
    NotOpen {
        /// The state, as RFC 9293 names it.
        state: String,
    },
    /// This system has no option for it.
    #[error(
        "bound the time with data unacknowledged: this system has no TCP_USER_TIMEOUT; use a heartbeat"
    )]
    NoUserTimeout,
    /// No options meet the objective now.
    #[error("detect within {}: no options bring that now, they would bring {found}; ask again when the connection is quiet, or use a heartbeat", Span(*wanted))]
    NotMet {
        /// What was asked for.
        wanted: Duration,
        /// What could be had.
        found: Detection,
    },
    /// The system refused.
    #[error("read or set the options of the connection: {cause}")]
    System {
        /// What it answered.
        #[from]
        cause: io::Error,
    },
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
