//! Owns the bytes that the BPF program writes for one socket, and how they become a Sample, the same
//! as sock_diag would have given. Pure: opens nothing, never panics on foreign bytes.
//! Read: bpf/sockets.bpf.c (`struct record`, in the same order), linux net/ipv4/inet_diag.c
//! `inet_sk_diag_fill`, net/ipv4/tcp.c `tcp_get_info`, `do_tcp_getsockopt`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use halfopen_core::{
    CongestionState, ConnectionId, Cookie, Endpoints, Inside, KernelTimer, Moment, NetnsId,
    PendingTimer, Sample, Sequence, SocketOptions, Source, Sysctls, TcpInfo, TcpState,
    detection::Tick,
};

use crate::{
    options::SharedOptions,
    wire::{
        WireError,
        inet_diag::{self, AF_INET, AF_INET6},
    },
};

/// What the program says of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The socket, as every source shows it.
    pub sample: Sample,
    /// What only this source shows.
    pub beyond: Beyond,
}

/// What is known of a socket beyond its sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Its options in their effective value; `None` for mini sockets, which have none.
    pub options: Option<Arc<SocketOptions>>,
    /// The address of its `struct socket`, by which descriptors are joined; `None` where no file
    /// refers to it.
    pub socket: Option<u64>,
}

/// How long a record is, in bytes.
pub const LENGTH: usize = Raw::LENGTH.next_multiple_of(8);

/// Decodes the first [`LENGTH`] bytes. What is counted in the kernel's ticks is converted by
/// `tick`; options that a socket inherits are those of `sysctls`, and those that are alike are one.
///
/// # Errors
/// [`WireError`] where the bytes are no such record.
pub fn decode(
    bytes: &[u8],
    tick: Tick,
    sysctls: &Sysctls,
    shared: &mut SharedOptions,
) -> Result<Record, WireError> {
    let raw = Raw::read(bytes).filter(|_| bytes.len() >= LENGTH).ok_or(WireError::Short {
        what: "a socket of the BPF iterator",
        offset: 0,
        expected: LENGTH,
        got: bytes.len(),
    })?;
    let number = match u8::try_from(raw.family) {
        Ok(number @ (AF_INET | AF_INET6)) => number,
        other => {
            return Err(WireError::Family {
                offset: Raw::FAMILY_AT,
                got: other.unwrap_or(u8::MAX),
            });
        }
    };
    let kind = Kind::of(raw.kind)?;
    let seen = Seen { raw, kind, tick };
    Ok(Record {
        sample: seen.sample(number),
        beyond: Beyond {
            options: (kind == Kind::Full).then(|| shared.share(seen.options(sysctls))),
            socket: Some(seen.raw.socket).filter(|address| *address != 0),
        },
    })
}

/// Which socket a record is of, and in what state it is; `None` where there are too few bytes.
pub(super) fn glance(bytes: &[u8]) -> Option<(Cookie, TcpState)> {
    let raw = Raw::read(bytes)?;
    Some((Cookie(raw.cookie), TcpState::from_kernel(raw.state)))
}

/// Declares the record in the order of the C struct, which has no padding but at its end.
macro_rules! record {
    ($($type:ty { $($name:ident),+ $(,)? })+) => {
        #[derive(Debug, Clone, Default)]
        struct Raw { $($($name: $type,)+)+ }

        impl Raw {
            const LENGTH: usize = 0 $($(+ { let _ = stringify!($name); size_of::<$type>() })+)+;

            fn read(mut rest: &[u8]) -> Option<Self> {
                Some(Self { $($($name: <$type>::from_ne_bytes(next(&mut rest)?),)+)+ })
            }

            #[cfg(test)]
            fn bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::new();
                $($(bytes.extend(self.$name.to_ne_bytes());)+)+
                bytes.resize(LENGTH, 0);
                bytes
            }
        }
    };
}

record! {
    u64 { boot_ns, socket, cookie, inode, cgroup, bytes_acked, bytes_received }
    // Sixteen bytes in the order of the network, whatever the host's.
    u128 { local, peer }
    u32 {
        netns, interface, uid, flags,
        now_jiffies, timer_jiffies, keepalive_jiffies,
        keepalive_time, keepalive_intvl, user_timeout_ms, linger2, rto_max, probes_tstamp,
        rto, srtt_us, mdev_us, packets_out, retrans_out, total_retrans, segs_in, segs_out,
        write_seq, snd_una, snd_nxt, rcv_nxt, copied_seq, snd_wnd, rcv_wnd,
        rcv_tstamp, lsndtime, lrcvtime, ack_backlog, max_ack_backlog,
        busy_jiffies, rwnd_limited_jiffies, err, err_soft,
        total_rto, total_rto_recoveries, total_rto_time_ms, retransmitting_ms,
    }
    u16 { local_port, peer_port, family }
    u8 {
        state, kind, ca_state, retransmits, probes_out, backoff, pending, keepalive_probes,
        syn_retries, shutdown, defer_accept, timeouts,
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*bytes)
}

impl Raw {
    /// Ports, family, and twelve bytes stand at the end.
    const FAMILY_AT: usize = Self::LENGTH - 12 - 2;
    const KIND_AT: usize = Self::LENGTH - 11;

    const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The record of an IPv4 socket of which only cookie and state are known.
#[cfg(test)]
pub(crate) fn of_cookie(cookie: u64, state: TcpState) -> Vec<u8> {
    let state = (1..13).find(|number| TcpState::from_kernel(*number) == state).unwrap();
    Raw { cookie, state, family: AF_INET.into(), ..Raw::default() }.bytes()
}

/// `enum kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    TimeWait,
    Request,
}

impl Kind {
    const fn of(number: u8) -> Result<Self, WireError> {
        match number {
            0 => Ok(Self::Full),
            1 => Ok(Self::TimeWait),
            2 => Ok(Self::Request),
            got => Err(WireError::Kind { offset: Raw::KIND_AT, got }),
        }
    }
}

struct Seen {
    raw: Raw,
    kind: Kind,
    tick: Tick,
}

impl Seen {
    fn sample(&self, number: u8) -> Sample {
        let raw = &self.raw;
        let local = inet_diag::address(number, raw.local.to_ne_bytes());
        let peer = inet_diag::address(number, raw.peer.to_ne_bytes());
        let inode = Some(raw.inode).filter(|inode| *inode != 0);
        let (receive_queue, send_queue) = self.queues();
        Sample {
            source: Source::Bpf,
            taken_at: Moment(Duration::from_nanos(raw.boot_ns)),
            id: ConnectionId { cookie: Cookie(raw.cookie), netns: NetnsId(raw.netns.into()) },
            family: inet_diag::family(number, local, peer),
            endpoints: Endpoints {
                local: SocketAddr::new(local.to_canonical(), raw.local_port),
                peer: SocketAddr::new(peer.to_canonical(), raw.peer_port),
                interface: Some(raw.interface).filter(|index| *index != 0),
            },
            state: self.state(),
            timer: self.timer(),
            receive_queue,
            send_queue,
            // As with sock_diag: a 0 is root's only where an inode stands beside it.
            uid: Some(raw.uid).filter(|uid| *uid != 0 || inode.is_some()),
            inode,
            cgroup_id: Some(raw.cgroup).filter(|id| *id != 0),
            shutdown: self.full().map(|raw| inet_diag::shutdown(raw.shutdown)),
            info: self.full().map(|_| self.info()),
            inside: self.inside(),
        }
    }

    fn full(&self) -> Option<&Raw> {
        (self.kind == Kind::Full).then_some(&self.raw)
    }

    const fn state(&self) -> TcpState {
        TcpState::from_kernel(self.raw.state)
    }

    /// Of a few timers sock_diag shows the first of these that runs.
    fn timer(&self) -> KernelTimer {
        let raw = &self.raw;
        let expires_in = self.until(raw.timer_jiffies);
        let retransmit = KernelTimer::Retransmit { retransmits: raw.retransmits, expires_in };
        match (self.kind, self.pending()) {
            (Kind::TimeWait, _) => KernelTimer::TimeWait { expires_in },
            (Kind::Request, _)
            | (
                Kind::Full,
                PendingTimer::Retransmission
                | PendingTimer::LossProbe { .. }
                | PendingTimer::Reordering,
            ) => retransmit,
            (Kind::Full, PendingTimer::WindowProbe) => {
                KernelTimer::WindowProbe { probes: raw.probes_out, expires_in }
            }
            (Kind::Full, _) if raw.has(KEEPALIVE_PENDING) => KernelTimer::Keepalive {
                probes: raw.probes_out,
                expires_in: self.until(raw.keepalive_jiffies),
            },
            (Kind::Full, _) => KernelTimer::Off,
        }
    }

    const fn pending(&self) -> PendingTimer {
        PendingTimer::from_kernel(self.raw.pending, self.raw.has(LOSS_PROBE_OUT))
    }

    /// tcp_diag_get_info.
    fn queues(&self) -> (u32, u32) {
        let raw = &self.raw;
        match (self.kind, self.state()) {
            (Kind::Full, TcpState::Listen) => (raw.ack_backlog, raw.max_ack_backlog),
            (Kind::Full, _) => {
                (distance(raw.copied_seq, raw.rcv_nxt), raw.write_seq.wrapping_sub(raw.snd_una))
            }
            _ => (0, 0),
        }
    }

    fn info(&self) -> TcpInfo {
        let raw = &self.raw;
        let rto = |value: u32| raw.has(HAS_TOTAL_RTO).then_some(value);
        if self.state() == TcpState::Listen {
            return self.info_of_a_listener();
        }
        TcpInfo {
            state: Some(self.state()),
            congestion: Some(CongestionState::from_kernel(raw.ca_state)),
            retransmits: Some(raw.retransmits),
            probes: Some(raw.probes_out),
            backoff: Some(raw.backoff),
            sack: Some(raw.has(SACK)),
            timestamps: Some(raw.has(TIMESTAMPS)),
            rto: Some(self.ticks(raw.rto)),
            unacked_segments: Some(raw.packets_out),
            retransmitted_segments: Some(raw.retrans_out),
            last_data_sent: Some(self.since(raw.lsndtime)),
            last_data_received: Some(self.since(raw.lrcvtime)),
            last_ack_received: Some(self.since(raw.rcv_tstamp)),
            // The kernel keeps these two times eight and times four.
            srtt: Some(micros(raw.srtt_us >> 3)).filter(|rtt| !rtt.is_zero()),
            rttvar: Some(micros(raw.mdev_us >> 2)),
            total_retransmissions: Some(raw.total_retrans),
            bytes_acked: Some(raw.bytes_acked),
            bytes_received: Some(raw.bytes_received),
            segments_sent: Some(raw.segs_out),
            segments_received: Some(raw.segs_in),
            unsent_bytes: Some(distance(raw.snd_nxt, raw.write_seq)),
            busy: Some(self.ticks(raw.busy_jiffies)),
            receive_window_limited: Some(self.ticks(raw.rwnd_limited_jiffies)),
            send_window: Some(raw.snd_wnd),
            receive_window: Some(raw.rcv_wnd),
            total_rto: rto(raw.total_rto).and_then(|count| count.try_into().ok()),
            total_rto_recoveries: rto(raw.total_rto_recoveries)
                .and_then(|count| count.try_into().ok()),
            total_rto_time: rto(raw.total_rto_time_ms).map(millis),
        }
    }

    /// tcp_get_info leaves everything but this of a listener at zero.
    fn info_of_a_listener(&self) -> TcpInfo {
        let nothing =
            Self { raw: Raw { flags: self.raw.flags & HAS_TOTAL_RTO, ..Raw::default() }, ..*self };
        TcpInfo {
            state: Some(TcpState::Listen),
            unacked_segments: Some(self.raw.ack_backlog),
            ..nothing.info()
        }
    }

    /// do_tcp_getsockopt, with the namespace's values for what the socket has not set (0).
    fn options(&self, sysctls: &Sysctls) -> SocketOptions {
        let raw = &self.raw;
        let own = |count: u8| Some(u32::from(count)).filter(|count| *count != 0);
        let own_ticks = |ticks: u32| Some(self.ticks(ticks)).filter(|span| !span.is_zero());
        SocketOptions {
            keepalive: Some(raw.has(KEEPOPEN)),
            keepalive_idle: own_ticks(raw.keepalive_time).or(sysctls.keepalive_time),
            keepalive_interval: own_ticks(raw.keepalive_intvl).or(sysctls.keepalive_interval),
            keepalive_probes: own(raw.keepalive_probes).or(sysctls.keepalive_probes),
            user_timeout: Some(millis(raw.user_timeout_ms)),
            linger2: match raw.linger2.cast_signed() {
                ..0 => Some(-1),
                0 => sysctls.fin_timeout.and_then(whole_seconds),
                1.. => whole_seconds(self.ticks(raw.linger2)),
            },
            rto_max: raw.has(HAS_RTO_MAX).then(|| self.ticks(raw.rto_max)),
            syn_retries: own(raw.syn_retries).or(sysctls.syn_retries),
            defer_accept: Some(self.defer_accept()),
            thin_linear: Some(raw.has(THIN)),
            reuse_address: Some(raw.has(REUSE)),
        }
    }

    /// retrans_to_secs: time-outs of 1, 2, 4 … seconds, each at most the longest.
    fn defer_accept(&self) -> Duration {
        let cap = match self.ticks(self.raw.rto_max) {
            _ if !self.raw.has(HAS_RTO_MAX) => RTO_MAX,
            cap => Duration::from_secs(cap.as_secs()),
        };
        let first = Duration::from_secs(1);
        let spans = std::iter::successors(Some(first), |span| Some((*span * 2).min(cap)));
        spans.take(self.raw.defer_accept.into()).sum()
    }

    fn inside(&self) -> Inside {
        let raw = &self.raw;
        let full = self.kind == Kind::Full;
        Inside {
            sequence: full.then_some(Sequence {
                snd_una: raw.snd_una,
                snd_nxt: raw.snd_nxt,
                write_seq: raw.write_seq,
                rcv_nxt: raw.rcv_nxt,
                copied_seq: raw.copied_seq,
            }),
            pending: full.then(|| self.pending()),
            orphan: full.then(|| raw.has(DEAD)),
            error: full.then_some(raw.err),
            soft_error: full.then_some(raw.err_soft),
            retransmitting_for: (full && raw.has(HAS_RETRANSMITTING))
                .then(|| millis(raw.retransmitting_ms)),
            window_probed_for: (full && raw.probes_tstamp != 0)
                .then(|| self.since(raw.probes_tstamp)),
            request_timeouts: (self.kind == Kind::Request).then_some(raw.timeouts),
        }
    }

    fn ticks(&self, ticks: u32) -> Duration {
        self.tick.length().saturating_mul(ticks)
    }

    /// The kernel's 32-bit jiffies wrap around; their differences do not mind.
    fn since(&self, jiffies: u32) -> Duration {
        self.ticks(self.raw.now_jiffies.wrapping_sub(jiffies))
    }

    /// jiffies_delta_to_msecs: what is overdue expires now.
    fn until(&self, jiffies: u32) -> Duration {
        self.ticks(distance(self.raw.now_jiffies, jiffies))
    }
}

/// From one number to a later one on the circle of 32 bits; zero if it is not later.
fn distance(from: u32, to: u32) -> u32 {
    u32::try_from(to.wrapping_sub(from).cast_signed()).unwrap_or(0)
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

fn micros(us: u32) -> Duration {
    Duration::from_micros(us.into())
}

fn whole_seconds(span: Duration) -> Option<i32> {
    i32::try_from(span.as_secs()).ok()
}

// `enum flag`.
const DEAD: u32 = 1;
const KEEPOPEN: u32 = 2;
const SACK: u32 = 4;
const TIMESTAMPS: u32 = 8;
const THIN: u32 = 16;
const KEEPALIVE_PENDING: u32 = 32;
const HAS_RTO_MAX: u32 = 64;
const HAS_TOTAL_RTO: u32 = 128;
const REUSE: u32 = 256;
const LOSS_PROBE_OUT: u32 = 512;
const HAS_RETRANSMITTING: u32 = 1024;

/// TCP_RTO_MAX, before a socket could have its own.
const RTO_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
