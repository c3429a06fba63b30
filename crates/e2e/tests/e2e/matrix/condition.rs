//! What becomes of the peer, or of the path to it, once every connection stands.

use std::{io::Write as _, time::Duration};

use halfopen_core::Sample;
use halfopen_lab::{Host, ROUTER, SERVER, Topology};
use rustix::process::Signal;

use super::{
    kind::Kind,
    stage::{NEVER_FINISHES, OUTSIDE, PATIENCE, Stage, look_until, signal},
};

/// How the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    Alive,
    Frozen,
    Silent,
    Rebooted,
    /// A NAT has forgotten the connection, and takes it up again from the inside.
    NatRelearns,
    /// A NAT has forgotten the connection, and drops what it does not know.
    NatDrops,
}

impl Condition {
    pub(super) const ALL: [Self; 6] = [
        Self::Alive,
        Self::Frozen,
        Self::Silent,
        Self::Rebooted,
        Self::NatRelearns,
        Self::NatDrops,
    ];

    /// The word for its rows.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Frozen => "frozen",
            Self::Silent => "silent",
            Self::Rebooted => "rebooted",
            Self::NatRelearns => "NAT relearns",
            Self::NatDrops => "NAT drops",
        }
    }

    /// How it is brought about.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Alive => "nothing happens to it",
            Self::Frozen => "its process is stopped (SIGSTOP); its kernel runs",
            Self::Silent => "the cable is cut in the middle; both ends keep their carrier",
            Self::Rebooted => {
                "its host loses power while the cable is cut, and comes back with the same address"
            }
            Self::NatRelearns => {
                "we are behind a NAT (nftables masquerade) whose entry has expired; as Linux does by \
                 default, it makes a new one for a segment from the inside in the middle of a \
                 connection (`nf_conntrack_tcp_loose` 1)"
            }
            Self::NatDrops => {
                "the same with `nf_conntrack_tcp_loose` 0 and a filter that drops what belongs to no \
                 entry, as clouds and carriers do"
            }
        }
    }

    pub(super) const fn is_behind_nat(self) -> bool {
        matches!(self, Self::NatRelearns | Self::NatDrops)
    }

    /// Nothing comes back, so the kernel's own probes go unanswered.
    const fn is_silence(self) -> bool {
        matches!(self, Self::Silent | Self::NatDrops)
    }

    pub(super) fn topology(self) -> Topology {
        if self.is_behind_nat() {
            Topology::routed_without_arp()
        } else {
            Topology::lan_without_arp()
        }
    }
}

/// Brings it about, and waits until whatever the kernels do by themselves about it is done.
pub(super) fn bring_about(stage: &mut Stage, condition: Condition) {
    match condition {
        Condition::Alive => {}
        Condition::Frozen => signal(stage.peer.as_ref(), Signal::STOP),
        Condition::Silent => stage.lab.cable(0).unwrap().cut(),
        Condition::Rebooted => {
            stage.lab.cable(0).unwrap().cut();
            stage.lab.power_off(SERVER).unwrap();
            stage.lab.boot(SERVER).unwrap();
            stage.lab.give_ipv6(SERVER).unwrap();
        }
        Condition::NatRelearns | Condition::NatDrops => expire(stage),
    }
    for actor in stage.actors.iter().filter(|actor| actor.kind == Kind::DataOutstanding) {
        actor.socket.as_ref().unwrap().write_all(b"a word").unwrap();
    }
    if condition == Condition::Rebooted {
        stage.lab.cable(0).unwrap().mend();
        // What the kernel sends again by itself meets the new life of the host, and is reset.
        stage.wait_for("the reset", |kind, sample| match kind {
            Kind::DataOutstanding | Kind::SynSent | Kind::SynReceived => sample.is_none(),
            kind => !kind.waits_for_window() || sample.is_none(),
        });
    }
    if condition == Condition::NatRelearns {
        // A SYN-ACK is no segment in the middle of a connection. It leaves under its private address,
        // and is reset by a host that has never heard of that.
        stage.wait_for("the reset", |kind, sample| kind != Kind::SynReceived || sample.is_none());
    }
    if condition.is_silence() {
        // Then the kernel's own probes are proof enough, and no cell depends on the moment.
        stage.wait_for("the silence", |kind, sample| {
            let probes_itself = kind.waits_for_window() || kind == Kind::DataOutstanding;
            !probes_itself || sample.is_none_or(is_long_unanswered)
        });
    }
}

/// More than what convicts (see `rules/silent.rs` of the core), by a margin.
fn is_long_unanswered(sample: &Sample) -> bool {
    use halfopen_core::KernelTimer::{Retransmit, WindowProbe};
    let (Retransmit { retransmits: count, .. } | WindowProbe { probes: count, .. }) = sample.timer
    else {
        return false;
    };
    count >= 5 && sample.last_heard().is_some_and(|ago| ago > Duration::from_millis(3_500))
}

/// Makes the router a NAT with a public side, [`OUTSIDE`], and lets some ports through to the client.
pub(super) fn masquerade(stage: &Stage) {
    let router = stage.lab.host(ROUTER).unwrap();
    let client = stage.lab.topology().ends_of(halfopen_lab::CLIENT).next().unwrap().2;
    nft(
        router,
        &format!(
            "table inet nat {{
               chain in {{ type nat hook prerouting priority -100
                 iifname {OUTSIDE} tcp dport 2001-2002 dnat ip to {}
                 iifname {OUTSIDE} tcp dport 2001-2002 dnat ip6 to {}
               }}
               chain out {{ type nat hook postrouting priority 100
                 oifname {OUTSIDE} masquerade
               }}
             }}",
            client.address,
            client.address6(),
        ),
    );
    if stage.condition == Condition::NatDrops {
        router.set_sysctl("net.netfilter.nf_conntrack_tcp_loose", "0").unwrap();
        // Between the two hosts only what an entry knows passes; UDP is the tests' own.
        nft(
            router,
            "table inet filter {
               chain passing { type filter hook forward priority 0; policy drop
                 ct state established,related accept
                 tcp flags & (syn|ack) == syn accept
                 meta l4proto udp accept
               }
             }",
        );
    }
}

/// Lets every idle entry of the router's table expire: the box's patience becomes a second, for what
/// is there and for what comes. Where it makes new entries, those may stay.
fn expire(stage: &Stage) {
    let router = stage.lab.host(ROUTER).unwrap();
    be_patient_for(router, "1");
    for family in ["ipv4", "ipv6"] {
        run(router, "conntrack", &["-U", "-f", family, "-p", "tcp", "--timeout", "1"]);
        // The listener asks every second, and is answered. Its entry is made to go; if it has gone by
        // itself, conntrack says so by its exit code.
        let port = NEVER_FINISHES.to_string();
        let arguments = ["-D", "-f", family, "-p", "tcp", "--dport", &port];
        router.spawn("conntrack", &arguments).unwrap().ended(PATIENCE).unwrap();
    }
    // A table that is read gives up what has expired; window probes may keep some of it alive.
    let speaks =
        |kind: Kind| kind.waits_for_window() || matches!(kind, Kind::SynSent | Kind::SynReceived);
    let idle: Vec<_> = stage.actors.iter().filter(|actor| !speaks(actor.kind)).collect();
    let forgotten = look_until(PATIENCE, || {
        // /proc/net is that of the whole process, which is at home elsewhere.
        let read = || std::fs::read_to_string("/proc/thread-self/net/nf_conntrack");
        let table = router.enter(read).unwrap();
        let table = table.unwrap();
        let knows = |port: u16| table.contains(&format!("sport={port} "));
        (!idle.iter().any(|actor| knows(actor.local.port()))).then_some(())
    });
    assert!(forgotten.is_some(), "the router does not forget");
    if stage.condition == Condition::NatRelearns {
        be_patient_for(router, "300");
    }
}

/// For how many seconds the router remembers an idle connection, in whatever state.
fn be_patient_for(router: &Host, seconds: &str) {
    for state in [
        "established",
        "close_wait",
        "fin_wait",
        "last_ack",
        "unacknowledged",
        "max_retrans",
        "syn_recv",
        "syn_sent",
    ] {
        let name = format!("net.netfilter.nf_conntrack_tcp_timeout_{state}");
        router.set_sysctl(&name, seconds).unwrap();
    }
}

pub(super) fn nft(host: &Host, rules: &str) {
    run(host, "nft", &[rules]);
}

fn run(host: &Host, program: &str, arguments: &[&str]) {
    let mut program = host.spawn(program, arguments).unwrap();
    let ended = program.ended(PATIENCE).unwrap().unwrap();
    let mut said = String::new();
    while let Some(line) = program.line(Duration::from_secs(1)) {
        said += &line.text;
    }
    assert!(ended.success(), "{}: {said}", program.name());
}
