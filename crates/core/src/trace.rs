//! Owns the templates of the tests: a connection as the kernel would describe it, one state per
//! constructor, so that a test names only what matters to it.

use std::{sync::Arc, time::Duration};

use crate::{
    ConnectionId, Cookie, Endpoints, Family, Inside, KernelTimer, Moment, NetnsId, Observation,
    OptionsSeen, Owner, OwnerList, Owners, Process, Sample, Siblings, SocketOptions, Source,
    Sysctls, TcpInfo, TcpState, Tracking, detection::Tick, tcp_info::CongestionState,
};

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An established connection of a LAN: nothing in flight, heard one second ago, keepalive off.
pub(crate) fn established() -> Observation {
    Observation {
        sample: Sample {
            source: Source::SockDiag,
            taken_at: Moment(Duration::from_secs(1_000_000)),
            id: ConnectionId { cookie: Cookie(0x1f), netns: NetnsId(4_026_531_840) },
            family: Family::V4,
            endpoints: Endpoints {
                local: ([10, 0, 0, 1], 40_000).into(),
                peer: ([10, 0, 0, 7], 111).into(),
                interface: None,
            },
            state: TcpState::Established,
            timer: KernelTimer::Off,
            receive_queue: 0,
            send_queue: 0,
            uid: Some(1000),
            inode: Some(4711),
            cgroup_id: None,
            shutdown: None,
            info: Some(info()),
            inside: Inside::default(),
        },
        options: OptionsSeen::Read(options().into()),
        sysctls: Sysctls::linux_defaults().into(),
        tick: Tick::from_hz(250),
        owners: Owners::Known(OwnerList::from_iter([Owner {
            process: Arc::new(Process {
                pid: 42,
                command: "telnet".to_owned(),
                uid: Some(1000),
                cgroup: None,
                unit: None,
            }),
            fd: 3,
        }])),
        listener: None,
        siblings: Siblings::default(),
        tracking: Tracking::NotTracked,
        proof: None,
    }
}

fn info() -> TcpInfo {
    TcpInfo {
        state: Some(TcpState::Established),
        congestion: Some(CongestionState::Open),
        retransmits: Some(0),
        probes: Some(0),
        backoff: Some(0),
        sack: Some(true),
        rto: Some(ms(204)),
        unacked_segments: Some(0),
        retransmitted_segments: Some(0),
        last_data_sent: Some(ms(1000)),
        last_data_received: Some(ms(1000)),
        last_ack_received: Some(ms(1000)),
        srtt: Some(Duration::from_micros(100)),
        unsent_bytes: Some(0),
        send_window: Some(65_536),
        total_rto_recoveries: Some(0),
        total_rto_time: Some(Duration::ZERO),
        ..TcpInfo::default()
    }
}

fn options() -> SocketOptions {
    SocketOptions {
        keepalive: Some(false),
        keepalive_idle: Some(Duration::from_secs(7200)),
        keepalive_interval: Some(Duration::from_secs(75)),
        keepalive_probes: Some(9),
        user_timeout: Some(Duration::ZERO),
        linger2: Some(60),
        rto_max: Some(Duration::from_secs(120)),
        syn_retries: Some(6),
        defer_accept: Some(Duration::ZERO),
        thin_linear: Some(false),
        reuse_address: Some(false),
    }
}

/// The verbs of a trace: each changes what one event would change.
impl Observation {
    pub(crate) fn heard(mut self, ago: Duration) -> Self {
        let info = self.info_mut();
        (info.last_data_received, info.last_ack_received) = (Some(ago), Some(ago));
        self
    }

    pub(crate) fn keepalive(mut self, idle_s: u64, interval_s: u64, probes: u32) -> Self {
        let options = self.options_mut();
        options.keepalive = Some(true);
        options.keepalive_idle = Some(Duration::from_secs(idle_s));
        options.keepalive_interval = Some(Duration::from_secs(interval_s));
        options.keepalive_probes = Some(probes);
        self
    }

    pub(crate) fn user_timeout(mut self, millis: u64) -> Self {
        self.options_mut().user_timeout = Some(ms(millis));
        self
    }

    pub(crate) fn retries2(mut self, retries: u32) -> Self {
        Arc::make_mut(&mut self.sysctls).retries2 = Some(retries);
        self
    }

    pub(crate) fn in_state(mut self, state: TcpState) -> Self {
        self.sample.state = state;
        self
    }

    pub(crate) fn timer(mut self, timer: KernelTimer) -> Self {
        self.sample.timer = timer;
        self
    }

    pub(crate) fn orphaned(mut self) -> Self {
        self.sample.inode = None;
        self.owners = Owners::None;
        self.options = OptionsSeen::Unread("no process owns it".into());
        self
    }

    /// One segment was sent again `retransmits` times; the first time-out is `running` ago.
    pub(crate) fn retransmitting(
        mut self,
        retransmits: u8,
        running: Duration,
        next: Duration,
    ) -> Self {
        self.sample.timer = KernelTimer::Retransmit { retransmits, expires_in: next };
        let info = self.info_mut();
        info.unacked_segments = Some(1);
        info.retransmitted_segments = Some(1);
        info.retransmits = Some(retransmits);
        info.backoff = Some(retransmits);
        info.rto = Some(ms(204) * 2u32.pow(retransmits.into()));
        info.congestion = Some(CongestionState::Loss);
        info.total_rto_recoveries = Some(1);
        info.total_rto_time = Some(running);
        self
    }

    pub(crate) fn info_mut(&mut self) -> &mut TcpInfo {
        self.sample.info.as_mut().expect("the template has TCP_INFO")
    }

    pub(crate) fn options_mut(&mut self) -> &mut SocketOptions {
        match &mut self.options {
            OptionsSeen::Read(options) => Arc::make_mut(options),
            OptionsSeen::Unread(_) => panic!("the template's options are read"),
        }
    }
}
