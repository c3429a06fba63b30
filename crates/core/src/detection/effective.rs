//! Owns which value of an option is in effect: the socket's own, else its namespace's, else unknown.
//! What is taken for granted is noted as an assumption.

use std::{cell::Cell, sync::Arc, time::Duration};

use super::learns::{Assumption, Assumptions, Learns};
use crate::{observation::Observation, options::SocketOptions};

/// A value without which nothing can be predicted was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing(pub(super) Arc<str>);

impl From<Missing> for Learns {
    fn from(Missing(why): Missing) -> Self {
        Self::Unknown(why)
    }
}

/// The values in effect for one socket, with a record of what had to be assumed.
pub(super) struct Effective<'a> {
    seen: &'a Observation,
    assumed: Cell<Assumptions>,
}

impl<'a> Effective<'a> {
    pub(super) fn of(seen: &'a Observation) -> Self {
        Self { seen, assumed: Cell::default() }
    }

    /// The assumptions that the values given out so far rest on.
    pub(super) fn assumptions(&self) -> Assumptions {
        self.assumed.get()
    }

    /// TCP_USER_TIMEOUT, if one is set.
    pub(super) fn user_timeout(&self) -> Option<Duration> {
        self.own(|options| options.user_timeout, Assumption::NoUserTimeout)
            .filter(|timeout| !timeout.is_zero())
    }

    /// TCP_RTO_MAX_MS, else `tcp_rto_max_ms`.
    pub(super) fn rto_max(&self) -> Result<Duration, Missing> {
        let own = self.own(|options| options.rto_max, Assumption::RtoMaxDefault);
        own.or(self.seen.sysctls.rto_max).ok_or_else(|| unread("tcp_rto_max_ms"))
    }

    /// TCP_SYNCNT, else `tcp_syn_retries`.
    pub(super) fn syn_retries(&self) -> Result<u32, Missing> {
        let own = self.own(|options| options.syn_retries, Assumption::SynCountDefault);
        own.or(self.seen.sysctls.syn_retries).ok_or_else(|| unread("tcp_syn_retries"))
    }

    /// TCP_SYNCNT of the listener, else `tcp_synack_retries`.
    pub(super) fn synack_retries(&self) -> Result<u32, Missing> {
        let own = self.seen.listener.as_ref().and_then(|listener| listener.syn_retries);
        if own.is_none() {
            self.assume(Assumption::SynCountDefault);
        }
        // TCP_SYNCNT reads back as tcp_syn_retries where it is not set, and that is not what limits
        // a SYN-ACK, so equality with that sysctl means "not set".
        own.filter(|&count| Some(count) != self.seen.sysctls.syn_retries)
            .or(self.seen.sysctls.synack_retries)
            .ok_or_else(|| unread("tcp_synack_retries"))
    }

    /// TCP_DEFER_ACCEPT of the listener, in seconds.
    pub(super) fn defer_accept(&self) -> Option<u32> {
        let own = self.seen.listener.as_ref().and_then(|listener| listener.defer_accept_s);
        if own.is_none() {
            self.assume(Assumption::NoDeferAccept);
        }
        own.filter(|&seconds| seconds > 0)
    }

    /// TCP_LINGER2 in seconds where it was read, else `tcp_fin_timeout`.
    pub(super) fn fin_timeout(&self) -> Result<Duration, Missing> {
        let own = self.own(|options| options.linger2, Assumption::Linger2Default);
        match own {
            Some(seconds) => Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
            None => self.seen.sysctls.fin_timeout.ok_or_else(|| unread("tcp_fin_timeout")),
        }
    }

    pub(super) fn retries2(&self) -> Result<u32, Missing> {
        self.seen.sysctls.retries2.ok_or_else(|| unread("tcp_retries2"))
    }

    pub(super) fn orphan_retries(&self) -> Result<u32, Missing> {
        self.seen.sysctls.orphan_retries.ok_or_else(|| unread("tcp_orphan_retries"))
    }

    pub(super) fn rto_min(&self) -> Result<Duration, Missing> {
        self.seen.sysctls.rto_min.ok_or_else(|| unread("tcp_rto_min_us"))
    }

    /// TCP_THIN_LINEAR_TIMEOUTS or its sysctl. Not worth an assumption: it moves a deadline by one
    /// firing at the most, and hardly any program sets it.
    pub(super) fn thin_linear(&self) -> bool {
        self.seen.options.read().and_then(|options| options.thin_linear) == Some(true)
            || self.seen.sysctls.thin_linear_timeouts == Some(true)
    }

    /// Notes that `assumption` was taken for granted.
    pub(super) fn assume(&self, assumption: Assumption) {
        self.assumed.set(self.assumed.get().with(assumption));
    }

    /// The socket's own option; where the options were not read, `None` and an assumption.
    fn own<T>(
        &self,
        pick: impl Fn(&SocketOptions) -> Option<T>,
        otherwise: Assumption,
    ) -> Option<T> {
        match self.seen.options.read() {
            Some(options) => pick(options),
            None => {
                self.assume(otherwise);
                None
            }
        }
    }
}

pub(super) fn unread(sysctl: &str) -> Missing {
    Missing(format!("the sysctl {sysctl} of its namespace was not read").into())
}
