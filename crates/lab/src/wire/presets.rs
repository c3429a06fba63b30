//! Owns the numbers of real middleboxes, as their makers publish them, each with its source. Plain values.
//! Read: `middlebox.rs` for the words; `docs/middleboxes.md` shows this table.

use std::time::Duration;

use super::{Keepalives, Middlebox, Refresh, Then};
use crate::topology::End;

/// A middlebox that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name for command lines and files.
    pub name: &'static str,
    /// What it is and does, in a clause.
    pub what: &'static str,
    /// Where the numbers come from.
    pub source: &'static str,
    /// The box, with the client inside.
    pub middlebox: Middlebox,
}

/// The preset called `name`.
pub fn named(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

/// All of them, in the order of the alphabet.
pub const ALL: &[Preset] = &[
    Preset {
        name: "aws-nat-gateway",
        what: "350 s idle, then RST to whoever inside goes on; what comes from outside is dropped",
        source: "AWS, NAT gateway basics and troubleshooting (docs.aws.amazon.com/vpc)",
        middlebox: after(350, Then::RstInside),
    },
    Preset {
        name: "aws-network-firewall",
        what: "350 s idle by default (60 to 6000), then silence",
        source: "AWS, Network Firewall: stateful TCP idle timeout (docs.aws.amazon.com/network-firewall)",
        middlebox: after(350, Then::Drop),
    },
    Preset {
        name: "aws-nlb",
        what: "350 s idle by default (60 to 6000), then RST to whoever speaks next; keepalives count",
        source: "AWS, Network Load Balancer: connection idle timeout (docs.aws.amazon.com/elasticloadbalancing)",
        middlebox: after(350, Then::RstOnPacket),
    },
    Preset {
        name: "azure-lb",
        what: "4 minutes idle by default (to 100), then silence",
        source: "Azure, Load Balancer TCP reset and idle timeout (learn.microsoft.com/azure/load-balancer)",
        middlebox: after(4 * 60, Then::Drop),
    },
    Preset {
        name: "azure-lb-reset",
        what: "the same with TCP reset turned on: RST to both ends in the moment of expiry",
        source: "Azure, Load Balancer TCP reset and idle timeout (learn.microsoft.com/azure/load-balancer)",
        middlebox: after(4 * 60, Then::RstBothNow),
    },
    Preset {
        name: "gcp-vpc",
        what: "10 minutes idle, then silence for what comes from outside until the inside speaks",
        source: "Google Cloud, Compute Engine troubleshooting: connection tracking (cloud.google.com/compute)",
        middlebox: after(10 * 60, Then::PickUp),
    },
    Preset {
        name: "home-gateway",
        what: "4 minutes idle, then silence: one that forgets early; others keep flows for a day",
        source: "said of S. Hätönen and others, Home Gateway Characteristics, IMC 2010; not checked there",
        middlebox: after(4 * 60, Then::Drop),
    },
    Preset {
        name: "kubernetes-conntrack",
        what: "a day idle (86400 s), an hour once one end has closed, as kube-proxy sets conntrack",
        source: "Kubernetes, kube-proxy --conntrack-tcp-timeout-established and -close-wait (kubernetes.io)",
        middlebox: Middlebox {
            half_closed_after: Some(Duration::from_secs(3600)),
            ..after(86_400, Then::PickUpOrRst)
        },
    },
    Preset {
        name: "kubernetes-ipvs",
        what: "900 s idle, 120 s once one end has closed, then RST to whoever speaks next",
        source: "Linux, net/netfilter/ipvs/ip_vs_proto_tcp.c tcp_timeouts",
        middlebox: Middlebox {
            half_closed_after: Some(Duration::from_secs(120)),
            ..after(900, Then::RstOnPacket)
        },
    },
    Preset {
        name: "linux-firewall",
        what: "5 days idle, 60 s once one end has closed; drops what it does not know and picks nothing up",
        source: "Linux, nf_conntrack-sysctl: tcp_timeout_established, tcp_timeout_close_wait, tcp_loose=0",
        middlebox: Middlebox { half_closed_after: CLOSE_WAIT, ..after(432_000, Then::Drop) },
    },
    Preset {
        name: "linux-nat",
        what: "5 days idle, 60 s once one end has closed; the inside is picked up again, the outside gets RST",
        source: "Linux, nf_conntrack-sysctl: tcp_timeout_established, tcp_timeout_close_wait, tcp_loose=1",
        middlebox: Middlebox { half_closed_after: CLOSE_WAIT, ..after(432_000, Then::PickUpOrRst) },
    },
    Preset {
        name: "rfc5382",
        what: "2 hours and 4 minutes idle, the least that a NAT may grant, then silence",
        source: "RFC 5382, REQ-5",
        middlebox: after(124 * 60, Then::Drop),
    },
];

/// `nf_conntrack_tcp_timeout_close_wait`.
const CLOSE_WAIT: Option<Duration> = Some(Duration::from_secs(60));

/// A box that every frame refreshes.
const fn after(seconds: u64, then: Then) -> Middlebox {
    Middlebox {
        expire_after: Some(Duration::from_secs(seconds)),
        then,
        refresh: Refresh::Any,
        keepalives: Keepalives::Count,
        half_closed_after: None,
        max_flows: None,
        inside: End::Left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_stand_in_the_order_of_the_alphabet() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
        for preset in ALL {
            assert_eq!(named(preset.name), Some(preset));
            assert!(!preset.what.is_empty() && !preset.source.is_empty(), "{}", preset.name);
        }
        assert_eq!(named("no-such-box"), None);
    }

    #[test]
    fn the_documentation_shows_every_preset_as_it_is() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/middleboxes.md");
        let page = std::fs::read_to_string(page).unwrap();
        for Preset { name, what, source, .. } in ALL {
            let row = format!("| `{name}` | {what} | {source} |");
            assert!(page.contains(&row), "docs/middleboxes.md lacks\n{row}");
        }
    }
}
