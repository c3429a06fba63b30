//! Owns the acts of faults that are about addresses, routes and interfaces. Pure: words for ip(8).

use std::{net::Ipv4Addr, time::Duration};

use super::{Act, plug};
use crate::{
    fault::{Fault, Icmp, OldOwner, Side},
    scenario::Plan,
    topology::ROUTER,
};

/// What such a fault does, with the time since its beginning; nothing for other faults.
pub(super) fn acts(fault: &Fault, plan: Plan) -> Vec<(Duration, Act)> {
    let now = Duration::ZERO;
    match fault {
        Fault::Renumber { dhcp: true, old_owner, .. } => {
            let address = Address::of(plan, Side::Client);
            let lease = Act::Lease { address: address.next().to_string() };
            let taken = taken_over(plan, Side::Client, *old_owner);
            std::iter::once((now, lease)).chain(taken.map(|act| (now, act))).collect()
        }
        Fault::Renumber { side, gap, old_owner, dhcp: false } => {
            renumber(plan, *side, *gap, *old_owner)
        }
        Fault::InterfaceDown { side, lasts } => {
            let up = format!("link set eth0 up\n{}", default_route(plan, *side, "replace"));
            for_a_while(*side, "link set eth0 down\n".to_owned(), up, *lasts)
        }
        Fault::RouteLost { side, lasts } => for_a_while(
            *side,
            "route delete default\n".to_owned(),
            default_route(plan, *side, "replace"),
            *lasts,
        ),
        Fault::Refused { side, answer, lasts } => {
            let address = Address::of(plan, *side).now;
            let kind = match answer {
                Icmp::HostUnreachable => "unreachable",
                Icmp::Prohibited => "prohibit",
            };
            let refuse = format!("route add {kind} {address}/32\n");
            let mend = format!("route delete {kind} {address}/32\n");
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
}

impl Address {
    pub(super) fn of(plan: Plan, side: Side) -> Self {
        let topology = plan.topology();
        let router = topology.host(side.word()).and_then(|host| host.default_route);
        let end = topology.ends_of(side.word()).next().map(|(_, _, end)| (end.address, end.prefix));
        let (now, prefix) = end.unwrap_or((Ipv4Addr::UNSPECIFIED, 24));
        Self { now, prefix, router }
    }

    /// The address to begin with.
    pub(super) const fn now(&self) -> Ipv4Addr {
        self.now
    }

    /// The address after a renumbering.
    pub(super) fn next(&self) -> Ipv4Addr {
        let [a, b, c, d] = self.now.octets();
        Ipv4Addr::new(a, b, c, d.wrapping_add(1))
    }
}

fn renumber(plan: Plan, side: Side, gap: Duration, old: OldOwner) -> Vec<(Duration, Act)> {
    let address = Address::of(plan, side);
    let Address { now, prefix, .. } = address;
    let host = side.word();
    let away = format!("address delete {now}/{prefix} dev eth0\n");
    let there = format!(
        "address add {}/{prefix} dev eth0\n{}",
        address.next(),
        default_route(plan, side, "replace")
    );
    let mut acts = vec![
        (Duration::ZERO, Act::Ip { host, script: away }),
        (gap, Act::Ip { host, script: there }),
    ];
    acts.extend(taken_over(plan, side, old).map(|act| (gap, act)));
    acts
}

/// The router takes the address that the host had.
fn taken_over(plan: Plan, side: Side, old: OldOwner) -> Option<Act> {
    let (cable, end) = plug(plan, side);
    let interface = plan.topology().interface(cable, end.other())?;
    let address = Address::of(plan, side).now;
    let script = format!("address add {address}/32 dev {interface}\nneigh flush dev {interface}\n");
    (old == OldOwner::Other).then_some(Act::Ip { host: ROUTER, script })
}

fn default_route(plan: Plan, side: Side, verb: &str) -> String {
    let router = Address::of(plan, side).router;
    router.map_or_else(String::new, |router| format!("route {verb} default via {router}\n"))
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
