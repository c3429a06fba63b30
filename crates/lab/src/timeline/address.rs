//! Owns the acts of faults that are about addresses, routes and interfaces. Pure: words for ip(8).

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{Act, plug};
use crate::{
    fault::{Fault, Icmp, OldOwner, Side},
    scenario::Scenario,
    topology::{IpFamily, ROUTER},
};

/// What such a fault does, with the time since its beginning; nothing for other faults.
pub(super) fn acts(fault: &Fault, scenario: &Scenario) -> Vec<(Duration, Act)> {
    let now = Duration::ZERO;
    match fault {
        Fault::Renumber { dhcp: true, old_owner, .. } => {
            let address = Address::of(scenario, Side::Client);
            let lease = Act::Lease { address: address.next().now().to_string() };
            let taken = taken_over(scenario, Side::Client, *old_owner);
            std::iter::once((now, lease)).chain(taken.map(|act| (now, act))).collect()
        }
        Fault::Renumber { side, gap, old_owner, dhcp: false } => {
            renumber(scenario, *side, *gap, *old_owner)
        }
        Fault::InterfaceDown { side, lasts } => {
            let mut up = "link set eth0 up\n".to_owned();
            // It takes its addresses of IPv6 with it (keep_addr_on_down of the kernel's ip-sysctl is 0).
            if scenario.family == IpFamily::V6 {
                up += &Address::of(scenario, *side).given();
            }
            up += &default_route(scenario, *side);
            for_a_while(*side, "link set eth0 down\n".to_owned(), up, *lasts)
        }
        Fault::RouteLost { side, lasts } => for_a_while(
            *side,
            format!("route delete {}\n", scenario.family.everything()),
            default_route(scenario, *side),
            *lasts,
        ),
        Fault::Refused { side, answer, lasts } => {
            let address = Address::of(scenario, *side).alone();
            let kind = match answer {
                Icmp::HostUnreachable => "unreachable",
                Icmp::Prohibited => "prohibit",
            };
            let refuse = format!("route add {kind} {address}\n");
            let mend = format!("route delete {kind} {address}\n");
            let ip = |script| Act::Ip { host: ROUTER, script };
            std::iter::once((now, ip(refuse))).chain(lasts.map(|span| (span, ip(mend)))).collect()
        }
        _ => Vec::new(),
    }
}

/// An address of a host, and its router.
pub(super) struct Address {
    now: Ipv4Addr,
    prefix: u8,
    router: Option<Ipv4Addr>,
    family: IpFamily,
}

impl Address {
    pub(super) fn of(scenario: &Scenario, side: Side) -> Self {
        let topology = scenario.topology();
        let router = topology.host(side.word()).and_then(|host| host.default_route);
        let end = topology.ends_of(side.word()).next().map(|(_, _, end)| (end.address, end.prefix));
        let (now, prefix) = end.unwrap_or((Ipv4Addr::UNSPECIFIED, 24));
        Self { now, prefix, router, family: topology.family }
    }

    /// The address to begin with.
    pub(super) const fn now(&self) -> IpAddr {
        self.family.of(self.now)
    }

    /// The address after a renumbering.
    pub(super) fn next(self) -> Self {
        let [a, b, c, d] = self.now.octets();
        Self { now: Ipv4Addr::new(a, b, c, d.wrapping_add(1)), ..self }
    }

    /// It and nothing beside it.
    fn alone(&self) -> String {
        format!("{}/{}", self.now(), self.family.prefix(32))
    }

    fn with_prefix(&self) -> String {
        format!("{}/{}", self.now(), self.family.prefix(self.prefix))
    }

    /// The line that gives it to its host, which need not ask whether somebody else has it.
    fn given(&self) -> String {
        let at_once = if self.family == IpFamily::V6 { " nodad" } else { "" };
        format!("address add {} dev eth0{at_once}\n", self.with_prefix())
    }
}

fn renumber(scenario: &Scenario, side: Side, gap: Duration, old: OldOwner) -> Vec<(Duration, Act)> {
    let address = Address::of(scenario, side);
    let host = side.word();
    let away = format!("address delete {} dev eth0\n", address.with_prefix());
    let there = format!("{}{}", address.next().given(), default_route(scenario, side));
    let mut acts = vec![
        (Duration::ZERO, Act::Ip { host, script: away }),
        (gap, Act::Ip { host, script: there }),
    ];
    acts.extend(taken_over(scenario, side, old).map(|act| (gap, act)));
    acts
}

/// The router takes the address that the host had.
fn taken_over(scenario: &Scenario, side: Side, old: OldOwner) -> Option<Act> {
    let (cable, end) = plug(scenario.plan, side);
    let interface = scenario.topology().interface(cable, end.other())?;
    let address = Address::of(scenario, side).alone();
    let script = format!("address add {address} dev {interface}\nneigh flush dev {interface}\n");
    (old == OldOwner::Other).then_some(Act::Ip { host: ROUTER, script })
}

fn default_route(scenario: &Scenario, side: Side) -> String {
    let Address { router, family, .. } = Address::of(scenario, side);
    router.map_or_else(String::new, |router| {
        format!("route replace {} via {}\n", family.everything(), family.of(router))
    })
}

fn for_a_while(
    side: Side,
    begin: String,
    end: String,
    lasts: Option<Duration>,
) -> Vec<(Duration, Act)> {
    let ip = |script| Act::Ip { host: side.word(), script };
    std::iter::once((Duration::ZERO, ip(begin))).chain(lasts.map(|span| (span, ip(end)))).collect()
}
