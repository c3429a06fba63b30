//! Owns the model of the socket options and sysctls that decide when the kernel gives up.
//! Read: tcp(7), linux Documentation/networking/ip-sysctl.rst, net/ipv4/tcp.c `do_tcp_getsockopt`.

use std::{sync::Arc, time::Duration};

/// The options of one socket, in their effective value. `None`: not read, or not known to this kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct SocketOptions {
    /// SO_KEEPALIVE.
    pub keepalive: Option<bool>,
    /// TCP_KEEPIDLE: from the last thing heard to the first probe.
    pub keepalive_idle: Option<Duration>,
    /// TCP_KEEPINTVL: from one unanswered probe to the next.
    pub keepalive_interval: Option<Duration>,
    /// TCP_KEEPCNT: unanswered probes until the end.
    pub keepalive_probes: Option<u32>,
    /// TCP_USER_TIMEOUT; zero is the kernel's word for "not set".
    pub user_timeout: Option<Duration>,
    /// TCP_LINGER2: seconds in FIN-WAIT-2 without an owner; negative means reset at once.
    pub linger2: Option<i32>,
    /// TCP_RTO_MAX_MS (since 6.15).
    pub rto_max: Option<Duration>,
    /// TCP_SYNCNT: retries of a SYN, and of a listener's SYN-ACK.
    pub syn_retries: Option<u32>,
    /// TCP_DEFER_ACCEPT of a listener; zero is the kernel's word for "not set".
    pub defer_accept: Option<Duration>,
    /// TCP_THIN_LINEAR_TIMEOUTS.
    pub thin_linear: Option<bool>,
    /// SO_REUSEADDR: what a window probe would clear, so what must be put back after one.
    pub reuse_address: Option<bool>,
}

/// How much of a socket's options could be read, and if not, why. A program gives most of its
/// sockets the same options, so they are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionsSeen {
    /// Read from the socket itself, through a duplicate of its descriptor or by BPF.
    Read(Arc<SocketOptions>),
    /// Not read; the reason fits after "its options were not read: ".
    Unread(Arc<str>),
}

impl OptionsSeen {
    /// The options, if they were read.
    pub fn read(&self) -> Option<&SocketOptions> {
        match self {
            Self::Read(options) => Some(options),
            Self::Unread(_) => None,
        }
    }
}

/// The sysctls of one network namespace. `None`: could not be read. Where a kernel has no such
/// sysctl, `halfopen-sys` fills in the constant that the kernel was compiled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sysctls {
    /// `tcp_keepalive_time`.
    pub keepalive_time: Option<Duration>,
    /// `tcp_keepalive_intvl`.
    pub keepalive_interval: Option<Duration>,
    /// `tcp_keepalive_probes`.
    pub keepalive_probes: Option<u32>,
    /// `tcp_retries2`.
    pub retries2: Option<u32>,
    /// `tcp_orphan_retries`.
    pub orphan_retries: Option<u32>,
    /// `tcp_syn_retries`.
    pub syn_retries: Option<u32>,
    /// `tcp_syn_linear_timeouts` (since 6.5; 0 before).
    pub syn_linear_timeouts: Option<u32>,
    /// `tcp_synack_retries`.
    pub synack_retries: Option<u32>,
    /// `tcp_fin_timeout`.
    pub fin_timeout: Option<Duration>,
    /// `tcp_rto_min_us` (since 6.11; 200 ms before).
    pub rto_min: Option<Duration>,
    /// `tcp_rto_max_ms` (since 6.15; 120 s before).
    pub rto_max: Option<Duration>,
    /// `tcp_early_retrans`: 3 and 4 allow tail loss probes.
    pub early_retransmit: Option<u32>,
    /// `tcp_thin_linear_timeouts`.
    pub thin_linear_timeouts: Option<bool>,
}

impl Sysctls {
    /// What an untouched kernel of 6.15 or later has. For tests and examples, never for judging a host.
    pub const fn linux_defaults() -> Self {
        Self {
            keepalive_time: Some(Duration::from_secs(7200)),
            keepalive_interval: Some(Duration::from_secs(75)),
            keepalive_probes: Some(9),
            retries2: Some(15),
            orphan_retries: Some(0),
            syn_retries: Some(6),
            syn_linear_timeouts: Some(4),
            synack_retries: Some(5),
            fin_timeout: Some(Duration::from_secs(60)),
            rto_min: Some(Duration::from_millis(200)),
            rto_max: Some(Duration::from_secs(120)),
            early_retransmit: Some(3),
            thin_linear_timeouts: Some(false),
        }
    }
}
