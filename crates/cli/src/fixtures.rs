//! Hand-made diagnoses for tests: one for every verdict, and the corners of the output.

use std::{sync::Arc, time::Duration};

use halfopen_core::{
    ConnectionId, Cookie, Diagnosis, Endpoints, Evidence, Family, KernelTimer, Listener, Moment,
    NetnsId, Observation, OptionsSeen, Owner, Owners, Process, Remedy, Sample, Severity, Siblings,
    SocketOptions, Source, Sysctls, TcpInfo, TcpState, Tracking, Unavailable, Verdict, VerdictKind,
    detection::{
        AppTold, Assumption, Assumptions, Cause, DetectionTime, Interval, Learns, NeverBecause,
        PeerTold, Prediction, Tick,
    },
};
use halfopen_sys::{About, NamespaceSeen, Unseen};

use crate::{
    counted::Seen,
    picture::{Hidden, Lacks, Picture},
};

pub(crate) const NETNS: NetnsId = NetnsId(4_026_531_840);

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An idle connection in good order: 10.0.0.1 to port 111 of 10.0.0.7, heard 10 minutes ago.
pub(crate) fn observation(cookie: u64) -> Observation {
    Observation {
        sample: Sample {
            source: Source::SockDiag,
            taken_at: Moment(secs(1000)),
            id: ConnectionId { cookie: Cookie(cookie), netns: NETNS },
            family: Family::V4,
            endpoints: Endpoints {
                local: "10.0.0.1:53124".parse().unwrap(),
                peer: "10.0.0.7:111".parse().unwrap(),
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
            info: Some(info(600, 0)),
            inside: halfopen_core::Inside::default(),
        },
        options: OptionsSeen::Read(Arc::new(SocketOptions {
            keepalive: Some(false),
            keepalive_idle: Some(secs(7200)),
            keepalive_interval: Some(secs(75)),
            keepalive_probes: Some(9),
            user_timeout: Some(secs(0)),
            ..SocketOptions::default()
        })),
        sysctls: Sysctls::linux_defaults().into(),
        tick: Tick::from_hz(250),
        owners: Owners::Known([owner(812, "telnet")].into_iter().collect()),
        listener: None,
        siblings: Siblings::default(),
        tracking: Tracking::NotTracked,
        proof: None,
    }
}

fn info(heard_s: u64, unacked: u32) -> TcpInfo {
    TcpInfo {
        state: Some(TcpState::Established),
        unacked_segments: Some(unacked),
        backoff: Some(0),
        rto: Some(Duration::from_millis(204)),
        srtt: Some(Duration::from_micros(850)),
        last_data_sent: Some(secs(heard_s)),
        last_data_received: Some(secs(heard_s)),
        last_ack_received: Some(secs(heard_s)),
        bytes_acked: Some(120),
        bytes_received: Some(4096),
        total_retransmissions: Some(0),
        send_window: Some(65_536),
        ..TcpInfo::default()
    }
}

pub(crate) fn owner(pid: u32, command: &str) -> Owner {
    let process = Process {
        pid,
        command: command.to_owned(),
        uid: Some(1000),
        cgroup: Some(format!("/system.slice/{command}.service")),
        unit: Some(format!("{command}.service")),
    };
    Owner { process: process.into(), fd: 3 }
}

pub(crate) fn within(from: Duration, to: Duration, cause: Cause) -> Learns {
    Learns::Within(Prediction {
        within: Interval::between(from, to),
        cause,
        application: match cause {
            Cause::Orphan | Cause::FinWait2 | Cause::TimeWait | Cause::SynAck => AppTold::Nothing,
            _ => AppTold::TimedOut,
        },
        peer: match cause {
            Cause::Keepalive | Cause::KeepaliveUserTimeout => PeerTold::Reset,
            _ => PeerTold::Nothing,
        },
        assumes: Assumptions::NONE,
    })
}

pub(crate) fn assumed(learns: Learns, assumes: &[Assumption]) -> Learns {
    match learns {
        Learns::Within(prediction) => {
            Learns::Within(Prediction { assumes: assumes.iter().copied().collect(), ..prediction })
        }
        other => other,
    }
}

const NEVER: Learns = Learns::Never(NeverBecause::KeepaliveOff);

fn retransmission() -> Learns {
    within(Duration::from_millis(924_600), secs(956), Cause::Retransmission)
}

fn never_or_busy() -> DetectionTime {
    DetectionTime { idle: NEVER, busy: retransmission(), now: None }
}

fn winding_up(state: &'static str, now: Learns) -> DetectionTime {
    DetectionTime {
        idle: Learns::NotApplicable(state),
        busy: Learns::NotApplicable(state),
        now: Some(now),
    }
}

struct Draft {
    observation: Observation,
    kind: VerdictKind,
    severity: Severity,
    headline: &'static str,
    evidence: Vec<Evidence>,
    learns: DetectionTime,
}

impl Draft {
    fn new(cookie: u64, kind: VerdictKind, severity: Severity, headline: &'static str) -> Self {
        Self {
            observation: observation(cookie),
            kind,
            severity,
            headline,
            evidence: vec![Evidence::InState(TcpState::Established)],
            learns: never_or_busy(),
        }
    }

    fn ends(mut self, local: &str, peer: &str) -> Self {
        self.observation.sample.endpoints.local = local.parse().unwrap();
        self.observation.sample.endpoints.peer = peer.parse().unwrap();
        self
    }

    fn state(mut self, state: TcpState, timer: KernelTimer) -> Self {
        self.observation.sample.state = state;
        self.observation.sample.timer = timer;
        self.evidence = vec![Evidence::InState(state)];
        self
    }

    fn heard(mut self, heard_s: u64, unacked: u32) -> Self {
        self.observation.sample.info = Some(info(heard_s, unacked));
        self
    }

    fn mini(mut self) -> Self {
        self.observation.sample.info = None;
        self.observation.options = OptionsSeen::Unread("the socket has no full form".into());
        self.owners(Owners::None)
    }

    fn owners(mut self, owners: Owners) -> Self {
        self.observation.owners = owners;
        self
    }

    fn evidence(mut self, evidence: &[Evidence]) -> Self {
        self.evidence.extend(evidence.iter().cloned());
        self
    }

    fn learns(mut self, learns: DetectionTime) -> Self {
        self.learns = learns;
        self
    }

    fn done(self) -> Diagnosis {
        let mut evidence = self.evidence.into_iter();
        let first = evidence.next().unwrap();
        let id = self.observation.sample.id;
        let refuter = "any segment from the peer";
        let verdict = Verdict::new(self.kind, self.severity, self.headline, refuter, first)
            .and(evidence)
            .remedy([Remedy::EndIt]);
        assert_eq!(id.netns, NETNS);
        Diagnosis { observation: self.observation, verdict, learns: self.learns }
    }
}

/// One diagnosis for each verdict, and a few more for the corners, worst first.
pub(crate) fn every_verdict() -> Vec<Diagnosis> {
    let mut all = proved_and_straining();
    all.extend(waiting_for_somebody());
    all.extend(kernel_alone());
    all.extend(open());
    all
}

fn proved_and_straining() -> Vec<Diagnosis> {
    let counting = |from, to| DetectionTime {
        now: Some(within(secs(from), secs(to), Cause::Retransmission)),
        ..never_or_busy()
    };
    vec![
        Draft::new(0xa1, VerdictKind::HalfOpen, Severity::Problem, "the peer answered RST")
            .state(TcpState::Closed, KernelTimer::Off)
            .evidence(&[Evidence::ResetReceived { ago: secs(2) }])
            .learns(DetectionTime {
                idle: Learns::NotApplicable("the connection is over"),
                busy: Learns::NotApplicable("the connection is over"),
                now: None,
            })
            .done(),
        Draft::new(0xa2, VerdictKind::Silent, Severity::Problem, "3 probes unanswered, 1s apart")
            .ends("10.0.0.1:40022", "203.0.113.9:22")
            .heard(9000, 0)
            .evidence(&[Evidence::ProbesUnanswered { count: 3, apart: secs(1) }])
            .done(),
        Draft::new(
            0xa3,
            VerdictKind::Straining,
            Severity::Problem,
            "7 retransmissions unanswered for 51s, and 2 connections to the same address too",
        )
        .ends("192.168.100.200:53124", "192.168.200.100:65432")
        .state(
            TcpState::Established,
            KernelTimer::Retransmit { retransmits: 7, expires_in: secs(26) },
        )
        .heard(51, 3)
        .owners(Owners::Known(
            [owner(31_337, "evil\x1b[2J"), owner(31_338, "evil")].into_iter().collect(),
        ))
        .evidence(&[
            Evidence::Unacknowledged { segments: 3 },
            Evidence::RetransmissionsUnanswered { count: 7 },
            Evidence::SiblingsSilent { count: 2 },
        ])
        .learns(counting(830, 861))
        .done(),
    ]
}

fn waiting_for_somebody() -> Vec<Diagnosis> {
    vec![
        Draft::new(0xb1, VerdictKind::Blocked, Severity::Problem, "the peer does not read")
            .ends("10.0.0.1:8080", "10.0.0.66:50122")
            .state(
                TcpState::Established,
                KernelTimer::WindowProbe { probes: 0, expires_in: secs(61) },
            )
            .heard(59, 0)
            .owners(Owners::Known([owner(990, "nginx")].into_iter().collect()))
            .evidence(&[Evidence::WindowClosed { waiting_bytes: 131_072 }])
            .learns(DetectionTime {
                now: Some(Learns::Never(NeverBecause::PeerHoldsWindowShut)),
                ..never_or_busy()
            })
            .done(),
        Draft::new(
            0xb2,
            VerdictKind::HalfClosed,
            Severity::Problem,
            "the peer closed 2h ago; our application has read to the end and does not close",
        )
        .ends("10.0.0.1:8080", "10.0.0.66:50123")
        .state(TcpState::CloseWait, KernelTimer::Off)
        .heard(7200, 0)
        .owners(Owners::Known([owner(990, "nginx")].into_iter().collect()))
        .evidence(&[Evidence::PeerClosed, Evidence::EndRead])
        .done(),
        Draft::new(
            0xb3,
            VerdictKind::HalfClosed,
            Severity::Notice,
            "we closed 3s ago; the peer has not",
        )
        .ends("10.0.0.1:33000", "10.0.0.9:80")
        .state(TcpState::FinWait2, KernelTimer::Off)
        .heard(3, 0)
        .evidence(&[Evidence::WeClosed])
        .done(),
        Draft::new(0xb4, VerdictKind::Embryonic, Severity::Notice, "our SYN is not answered yet")
            .ends("10.0.0.1:33002", "10.0.0.250:443")
            .state(
                TcpState::SynSent,
                KernelTimer::Retransmit { retransmits: 1, expires_in: secs(2) },
            )
            .owners(Owners::Known([owner(1204, "curl")].into_iter().collect()))
            .evidence(&[Evidence::SynUnanswered { retries: 1 }])
            .learns(winding_up(
                "it is not open yet",
                assumed(
                    within(secs(129), secs(134), Cause::Syn),
                    &[Assumption::SynCountDefault, Assumption::NoUserTimeout],
                ),
            ))
            .done(),
    ]
}

fn kernel_alone() -> Vec<Diagnosis> {
    vec![
        Draft::new(
            0xc1,
            VerdictKind::Orphaned,
            Severity::Notice,
            "its process is gone, FIN unanswered",
        )
        .ends("10.0.0.1:33004", "10.0.0.250:443")
        .state(TcpState::FinWait1, KernelTimer::Retransmit { retransmits: 4, expires_in: secs(3) })
        .heard(40, 1)
        .owners(Owners::None)
        .evidence(&[Evidence::NoOwner, Evidence::FinUnacknowledged])
        .learns(winding_up("nobody owns it", within(secs(64), secs(70), Cause::Orphan)))
        .done(),
        Draft::new(0xc2, VerdictKind::Unknown, Severity::Notice, "the kernel gave no TCP_INFO")
            .ends("10.0.0.1:33006", "10.0.0.8:5432")
            .mini()
            .owners(Owners::Unseen("held by another user's process".into()))
            .evidence(&[Evidence::Unavailable(Box::new(Unavailable {
                what: "TCP_INFO",
                why: "not sent".to_owned(),
            }))])
            .learns(DetectionTime {
                idle: Learns::Unknown("the options were not read".into()),
                busy: Learns::Unknown("the options were not read".into()),
                now: None,
            })
            .done(),
        Draft::new(0xc3, VerdictKind::Closing, Severity::Fine, "TIME-WAIT for 45s more")
            .ends("10.0.0.1:8080", "10.0.0.66:50100")
            .state(TcpState::TimeWait, KernelTimer::TimeWait { expires_in: secs(45) })
            .mini()
            .learns(winding_up(
                "both sides have closed",
                within(secs(45), secs(47), Cause::TimeWait),
            ))
            .done(),
    ]
}

fn open() -> Vec<Diagnosis> {
    let keepalive = assumed(
        within(secs(7275), secs(7875), Cause::Keepalive),
        &[Assumption::KeepaliveDefaults, Assumption::NoUserTimeout],
    );
    vec![
        Draft::new(
            0xd1,
            VerdictKind::Quiet,
            Severity::Notice,
            "nothing heard for 10m; keepalive is off",
        )
        .evidence(&[
            Evidence::PeerHeard { ago: secs(600) },
            Evidence::NothingInFlight,
            Evidence::KeepaliveOff,
        ])
        .done(),
        Draft::new(0xd2, VerdictKind::Quiet, Severity::Fine, "nothing heard for 3h")
            .ends("[2001:db8:85a3::8a2e:370:7334]:22", "[2001:db8:1:2:3:4:5:6]:51122")
            .state(
                TcpState::Established,
                KernelTimer::Keepalive { probes: 0, expires_in: secs(3100) },
            )
            .heard(4100, 0)
            .owners(Owners::Unseen("held by another user's process".into()))
            .learns(DetectionTime {
                idle: keepalive.clone(),
                busy: assumed(retransmission(), &[Assumption::NoUserTimeout]),
                now: None,
            })
            .done(),
        Draft::new(0xd3, VerdictKind::Alive, Severity::Fine, "heard 210ms ago")
            .ends("[::ffff:10.0.0.1]:443", "[::ffff:198.51.100.77]:40100")
            .heard(1, 0)
            .owners(Owners::Known(
                [owner(1, "postgres"), owner(2, "postgres")].into_iter().collect(),
            ))
            .learns(DetectionTime {
                idle: within(secs(40), secs(45), Cause::KeepaliveUserTimeout),
                busy: within(secs(30), secs(31), Cause::UserTimeout),
                now: None,
            })
            .done(),
    ]
}

/// A picture of these connections and nothing else.
pub(crate) fn picture_of(connections: Vec<Diagnosis>) -> Picture {
    let connections = connections.into_iter().collect();
    Picture { connections, ..picture() }
}

/// A picture with every verdict in it, a full listener, something hidden and something unseen.
pub(crate) fn picture() -> Picture {
    let connections = every_verdict();
    let mut seen = Seen::default();
    for one in &connections {
        seen.note(&one.observation.sample);
    }
    Picture {
        host: "web1".to_owned(),
        taken_at: "2026-11-22T08:26:37.123Z".parse().unwrap(),
        namespaces: vec![NamespaceSeen { id: NETNS, name: None, is_own: true }],
        connections: connections.into_iter().collect(),
        hidden: Hidden { loopback: 4, problems: 1 },
        listeners: vec![
            Listener {
                netns: NETNS,
                local: "0.0.0.0:8080".parse().unwrap(),
                accept_queue: 129,
                backlog: 128,
                embryonic: Some(12),
                syn_retries: None,
                defer_accept_s: None,
            },
            Listener {
                netns: NETNS,
                local: "[::]:22".parse().unwrap(),
                accept_queue: 0,
                backlog: 128,
                embryonic: Some(0),
                syn_retries: None,
                defer_accept_s: None,
            },
        ],
        unseen: vec![Unseen {
            what: "owners of 2 connections".to_owned(),
            why: "processes of other users: needs CAP_SYS_PTRACE (run as root)".to_owned(),
            about: About::Owners,
        }],
        lacks: Lacks { owners: true, options: true },
        owners_unseen: 2,
        seen,
    }
}
