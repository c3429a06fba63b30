//! Owns the table of what boxes on the path forget: idle time-outs of load balancers, NATs and
//! firewalls. Knows no host and no path: whether such a box is there, only a measurement can tell.
//! Read: RFC 5382 REQ-5 (NATs must remember 2 h 4 min), RFC 7857; the sources are beside each row.

use std::time::Duration;

use crate::detection::Tick;

/// A kind of box that keeps state for each connection, and how soon it forgets an idle one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Middlebox {
    /// Its name, as its maker calls it.
    pub name: &'static str,
    /// How long a connection may be idle, unless somebody changed the setting.
    pub idle: Duration,
    /// The least and the most that can be set; `None`: fixed, or not known.
    pub range: Option<(Duration, Duration)>,
    /// How long a half-closed connection may be idle, where the box counts that apart.
    pub half_closed: Option<Duration>,
    /// Whether a keepalive probe counts as traffic. A proxy at the level of HTTP counts only data.
    pub counts_probes: bool,
    /// What it does when the time is over.
    pub on_expiry: OnExpiry,
    /// How well this row is known.
    pub basis: Basis,
    /// Where it is written: a URL or a source file.
    pub source: &'static str,
}

/// What a box does with a connection whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnExpiry {
    /// Forgets it without a word; later segments vanish.
    Drops,
    /// Forgets it without a word; the next segment that comes is answered with RST.
    ResetsLateSegments,
    /// Closes both sides with FIN or RST when the time is over.
    ClosesBoth,
    /// Linux conntrack: a segment from inside usually makes a new entry, one from outside is lost or reset.
    Relearns,
}

impl OnExpiry {
    /// A clause that fits after "then it ".
    pub const fn clause(self) -> &'static str {
        match self {
            Self::Drops => "drops later segments silently",
            Self::ResetsLateSegments => "answers later segments with a reset",
            Self::ClosesBoth => "closes both sides",
            Self::Relearns => "relearns it from inside; from outside it is lost",
        }
    }
}

/// How well a row of the table is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The maker's documentation or source says it.
    Documented,
    /// Other people's documentation or reports say it.
    Reported,
    /// Commonly said, not verified.
    Unverified,
}

impl Basis {
    /// The word used in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Reported => "reported",
            Self::Unverified => "unverified",
        }
    }
}

/// The keepalive settings that decide how long a connection can be without any segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE.
    pub idle: Duration,
    /// TCP_KEEPINTVL.
    pub interval: Duration,
}

/// Whether a box forgets a connection on which only keepalive is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forgets {
    /// Yes: the first probe comes too late, or none comes.
    Yes,
    /// The first probe may come too late by the kernel's timer alone, or the next one does if it is lost.
    IfOneProbeFails,
    /// No.
    No,
}

impl Middlebox {
    /// How long this box remembers an idle connection at its default setting.
    pub fn remembers(&self, half_closed: bool) -> Duration {
        match self.half_closed {
            Some(shorter) if half_closed => shorter.min(self.idle),
            _ => self.idle,
        }
    }

    /// Whether this box, at its default, forgets a connection that is idle but for `keepalive`.
    /// `tick` bounds how late the kernel sends the probe.
    pub fn forgets(&self, keepalive: Option<Keepalive>, half_closed: bool, tick: Tick) -> Forgets {
        let Some(Keepalive { idle, interval }) = keepalive.filter(|_| self.counts_probes) else {
            return Forgets::Yes;
        };
        let remembers = self.remembers(half_closed);
        let late = tick.lateness(idle);
        if idle >= remembers {
            Forgets::Yes
        } else if idle.saturating_add(late.max(interval)) >= remembers {
            Forgets::IfOneProbeFails
        } else {
            Forgets::No
        }
    }
}

/// The boxes that would forget a connection on which nothing but `keepalive` (`None`: off) is
/// sent, shortest memory first.
pub fn forgetful(
    keepalive: Option<Keepalive>,
    half_closed: bool,
    tick: Tick,
) -> Vec<(&'static Middlebox, Forgets)> {
    let mut found: Vec<_> = MIDDLEBOXES
        .iter()
        .map(|middlebox| (middlebox, middlebox.forgets(keepalive, half_closed, tick)))
        .filter(|(_, forgets)| *forgets != Forgets::No)
        .collect();
    found.sort_by_key(|(middlebox, _)| middlebox.remembers(half_closed));
    found
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What is known to forget, by maker.
pub const MIDDLEBOXES: [Middlebox; 17] = [
    Middlebox {
        name: "AWS Network Load Balancer, TCP listener",
        idle: secs(350),
        range: Some((secs(60), secs(6000))),
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::ResetsLateSegments,
        basis: Basis::Documented,
        source: "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html",
    },
    Middlebox {
        name: "AWS Network Load Balancer, TLS listener",
        idle: secs(350),
        range: None,
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::ResetsLateSegments,
        basis: Basis::Documented,
        source: "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html",
    },
    Middlebox {
        name: "AWS NAT gateway",
        idle: secs(350),
        range: None,
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::ResetsLateSegments,
        basis: Basis::Reported,
        source: "https://github.com/openresty/lua-resty-core/issues/65",
    },
    Middlebox {
        name: "AWS Network Firewall",
        idle: secs(350),
        range: Some((secs(60), secs(6000))),
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "AWS Network Firewall API reference, API_FlowTimeouts",
    },
    Middlebox {
        name: "EC2 security groups, Nitro v6 instances",
        idle: secs(350),
        range: Some((secs(60), secs(432_000))),
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "Amazon EC2 API reference, API_ConnectionTrackingConfiguration",
    },
    Middlebox {
        name: "EC2 security groups, older instances",
        idle: secs(432_000),
        range: Some((secs(60), secs(432_000))),
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "Amazon EC2 API reference, API_ConnectionTrackingConfiguration",
    },
    Middlebox {
        name: "AWS Application Load Balancer",
        idle: secs(60),
        range: None,
        half_closed: None,
        counts_probes: false,
        on_expiry: OnExpiry::ClosesBoth,
        basis: Basis::Unverified,
        source: "commonly reported default",
    },
    Middlebox {
        name: "Azure Load Balancer",
        idle: secs(240),
        range: Some((secs(240), secs(1800))),
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-reset",
    },
    Middlebox {
        name: "Azure NAT gateway",
        idle: secs(240),
        range: Some((secs(240), secs(7200))),
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::ResetsLateSegments,
        basis: Basis::Documented,
        source: "azure-docs, nat-gateway-resource.md",
    },
    Middlebox {
        name: "Google Cloud VPC firewall",
        idle: secs(600),
        range: None,
        half_closed: None,
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "https://cloud.google.com/compute/docs/troubleshooting",
    },
    Middlebox {
        name: "Google Cloud NAT",
        idle: secs(1200),
        range: None,
        half_closed: Some(secs(30)),
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "Google compute v1 API, RouterNat.tcpEstablishedIdleTimeoutSec",
    },
    Middlebox {
        name: "Cisco ASA and FTD",
        idle: secs(3600),
        range: None,
        half_closed: Some(secs(600)),
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "Cisco FTD documentation, Configure Global Timeouts",
    },
    Middlebox {
        name: "FortiGate (NPU profile)",
        idle: secs(3600),
        range: None,
        half_closed: Some(secs(120)),
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "https://docs.fortinet.com config tcp-timeout-profile",
    },
    Middlebox {
        name: "Palo Alto firewall",
        idle: secs(3600),
        range: None,
        half_closed: Some(secs(120)),
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Unverified,
        source: "commonly reported default",
    },
    Middlebox {
        name: "Linux IPVS",
        idle: secs(900),
        range: None,
        half_closed: Some(secs(60)),
        counts_probes: true,
        on_expiry: OnExpiry::Drops,
        basis: Basis::Documented,
        source: "linux net/netfilter/ipvs/ip_vs_proto_tcp.c tcp_timeouts",
    },
    Middlebox {
        name: "Kubernetes node (kube-proxy's conntrack settings)",
        idle: secs(86_400),
        range: None,
        half_closed: Some(secs(3600)),
        counts_probes: true,
        on_expiry: OnExpiry::Relearns,
        basis: Basis::Documented,
        source: "kube-proxy flags; https://github.com/kubernetes/kubernetes/pull/35919",
    },
    Middlebox {
        name: "Linux conntrack (NAT, stateful firewall)",
        idle: secs(432_000),
        range: None,
        half_closed: Some(secs(60)),
        counts_probes: true,
        on_expiry: OnExpiry::Relearns,
        basis: Basis::Documented,
        source: "linux net/netfilter/nf_conntrack_proto_tcp.c tcp_timeouts",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Tick = Tick::from_length(Duration::from_millis(4));

    fn forgetting(idle_s: u64, interval_s: u64, half_closed: bool) -> Vec<&'static str> {
        let keepalive = Keepalive { idle: secs(idle_s), interval: secs(interval_s) };
        forgetful(Some(keepalive), half_closed, TICK)
            .into_iter()
            .filter(|(_, forgets)| *forgets == Forgets::Yes)
            .map(|(middlebox, _)| middlebox.name)
            .collect()
    }

    #[test]
    fn every_box_forgets_a_connection_without_keepalive() {
        assert_eq!(forgetful(None, false, TICK).len(), MIDDLEBOXES.len());
    }

    #[test]
    fn a_minute_of_keepalive_satisfies_every_box_that_counts_probes() {
        let only = ["AWS Application Load Balancer"];
        assert_eq!(forgetting(50, 5, false), only);
    }

    #[test]
    fn the_kernels_default_of_two_hours_is_too_long_for_the_clouds() {
        let names = forgetting(7200, 75, false);
        for name in ["AWS NAT gateway", "Azure Load Balancer", "Google Cloud NAT", "Linux IPVS"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.contains(&"Linux conntrack (NAT, stateful firewall)"));
    }

    #[test]
    fn a_probe_at_the_time_out_is_too_late_and_one_just_before_hangs_on_one_packet() {
        let gateway = MIDDLEBOXES.iter().find(|one| one.name == "AWS NAT gateway").unwrap();
        let with = |idle| {
            let keepalive = Keepalive { idle: secs(idle), interval: secs(10) };
            gateway.forgets(Some(keepalive), false, TICK)
        };
        assert_eq!(with(350), Forgets::Yes);
        assert_eq!(with(349), Forgets::IfOneProbeFails);
        // The wheel may fire a timer of five minutes 16.4 s late (16.384 s at 250 Hz).
        assert_eq!(with(334), Forgets::IfOneProbeFails);
        assert_eq!(with(333), Forgets::No);
    }

    #[test]
    fn half_closed_connections_are_forgotten_sooner() {
        let names = forgetting(60, 10, true);
        assert!(names.contains(&"Linux conntrack (NAT, stateful firewall)"));
        assert!(!forgetting(60, 10, false).contains(&"Linux conntrack (NAT, stateful firewall)"));
    }

    #[test]
    fn the_shortest_memory_comes_first() {
        let found = forgetful(None, true, TICK);
        assert!(found.windows(2).all(|two| two[0].0.remembers(true) <= two[1].0.remembers(true)));
    }

    #[test]
    fn every_default_lies_in_its_range() {
        for one in MIDDLEBOXES {
            if let Some((least, most)) = one.range {
                assert!(least <= one.idle && one.idle <= most, "{}", one.name);
            }
        }
    }
}
