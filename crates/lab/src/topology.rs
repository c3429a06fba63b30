//! Owns the plan of a lab: hosts, their addresses, the cables between them; and its translation
//! into the words of `ip -batch`. Pure: makes nothing. Read: ip-link(8), ip-address(8), veth(4).

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A plan of hosts and cables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The hosts.
    pub hosts: Vec<HostPlan>,
    /// The cables; a host's interfaces are named `eth0`, `eth1`, … in the order of its cables.
    pub cables: Vec<CablePlan>,
    /// Which addresses the hosts have to begin with.
    pub family: IpFamily,
}

/// The family of the addresses of a plan. Plans are written with addresses of IPv4; each stands for one of
/// IPv6 as well ([`EndPlan::address6`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IpFamily {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// The words in files and on cards, each with its family.
    pub const WORDS: [(&'static str, Self); 2] = [("ipv4", Self::V4), ("ipv6", Self::V6)];

    /// The word in files and on cards.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// The address of this family that one of a plan stands for.
    pub const fn of(self, address: Ipv4Addr) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(address),
            Self::V6 => IpAddr::V6(over_ipv6(address)),
        }
    }

    /// Bits of an address of this family for `prefix` bits of one of IPv4.
    pub(crate) const fn prefix(self, prefix: u8) -> u8 {
        match self {
            Self::V4 => prefix,
            Self::V6 => prefix.saturating_add(128 - 32),
        }
    }

    /// What `ip` calls all addresses: where it is not told a family it takes "default" for one of IPv4.
    pub(crate) const fn everything(self) -> &'static str {
        match self {
            Self::V4 => "default",
            Self::V6 => "::/0",
        }
    }
}

impl From<IpAddr> for IpFamily {
    fn from(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A host to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// Its name, unique in the plan.
    pub name: String,
    /// It forwards between its interfaces (`net.ipv4.ip_forward`).
    pub is_router: bool,
    /// The router for everything that is on no cable of its own.
    pub default_route: Option<Ipv4Addr>,
}

/// A cable to be, between two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CablePlan {
    /// Both ends.
    pub ends: [EndPlan; 2],
    /// The ends know each other's hardware address for ever, so that no ARP (nor, over IPv6, neighbour
    /// discovery) is seen and none
    /// can fail. On a segment without it a dead peer is found by ARP, and the kernel then stops
    /// sending and tells EHOSTUNREACH for ETIMEDOUT.
    pub without_arp: bool,
}

/// One end of a cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndPlan {
    /// The name of the host.
    pub host: String,
    /// The address of the interface.
    pub address: Ipv4Addr,
    /// The length of its prefix.
    pub prefix: u8,
}

/// One of the two ends of a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The first end of the plan.
    Left,
    /// The second.
    Right,
}

impl End {
    /// Both, left first.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// The end on the other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Left => 'l',
            Self::Right => 'r',
        }
    }
}

impl CablePlan {
    /// The plan of one end.
    pub const fn end(&self, end: End) -> &EndPlan {
        let [left, right] = &self.ends;
        match end {
            End::Left => left,
            End::Right => right,
        }
    }
}

impl EndPlan {
    /// The address over IPv6, if the host is given one: `fd00::` and the four bytes of the other.
    pub const fn address6(&self) -> Ipv6Addr {
        over_ipv6(self.address)
    }
}

/// The two hosts of every plan here.
pub const CLIENT: &str = "client";
/// The host that is spoken to.
pub const SERVER: &str = "server";
/// The host between them.
pub const ROUTER: &str = "router";
/// The server beside the server, where there are two.
pub const SECOND_SERVER: &str = "server2";

/// The network of senders that do not exist, whose prefix has 16 bits: no plan has an address in it.
pub(crate) const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 0);

impl Topology {
    /// The book's plan: `client` 10.0.0.1 and `server` 10.0.0.7 on one cable.
    pub fn lan() -> Self {
        let hosts = [CLIENT, SERVER].map(|name| host(name, None)).into();
        let ends = [end(CLIENT, [10, 0, 0, 1]), end(SERVER, [10, 0, 0, 7])];
        let cables = vec![CablePlan { ends, without_arp: false }];
        Self { hosts, cables, family: IpFamily::V4 }
    }

    /// As [`Topology::lan`], with neighbours that are known for ever: the plainest wire on which
    /// only TCP decides when a dead peer is given up.
    pub fn lan_without_arp() -> Self {
        Self::lan().without_arp()
    }

    /// The same plan with addresses of this family.
    #[must_use]
    pub fn over(self, family: IpFamily) -> Self {
        Self { family, ..self }
    }

    fn without_arp(mut self) -> Self {
        self.cables.iter_mut().for_each(|cable| cable.without_arp = true);
        self
    }

    /// `client` 10.0.1.1 and `server` 10.0.2.7 with a router between them: what a dead peer far
    /// away looks like, since the client's neighbour always answers ARP. Cable 0 is the client's.
    pub fn routed() -> Self {
        let near = Ipv4Addr::new(10, 0, 1, 254);
        let far = Ipv4Addr::new(10, 0, 2, 254);
        let router = HostPlan { is_router: true, ..host(ROUTER, None) };
        let ends = [
            [end(CLIENT, [10, 0, 1, 1]), end(ROUTER, near.octets())],
            [end(ROUTER, far.octets()), end(SERVER, [10, 0, 2, 7])],
        ];
        Self {
            hosts: vec![host(CLIENT, Some(near)), router, host(SERVER, Some(far))],
            cables: ends.map(|ends| CablePlan { ends, without_arp: false }).into(),
            family: IpFamily::V4,
        }
    }

    /// As [`Topology::routed`], with `server2` 10.0.3.7 on a third cable of the router.
    pub fn balanced() -> Self {
        let mut topology = Self::routed();
        let router = Ipv4Addr::new(10, 0, 3, 254);
        topology.hosts.push(host(SECOND_SERVER, Some(router)));
        let ends = [end(ROUTER, router.octets()), end(SECOND_SERVER, [10, 0, 3, 7])];
        topology.cables.push(CablePlan { ends, without_arp: false });
        topology
    }

    /// As [`Topology::routed`], with neighbours that are known for ever: nobody but the router's own
    /// rules decides what comes through.
    pub fn routed_without_arp() -> Self {
        Self::routed().without_arp()
    }

    /// The plan of the host called `name`.
    pub fn host(&self, name: &str) -> Option<&HostPlan> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// The first address of the host called `name`, of the plan's family.
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        self.ends_of(name).next().map(|(_, _, end)| self.family.of(end.address))
    }

    /// Where the host called `name` has its interfaces: index of the cable, which end, its plan.
    pub fn ends_of<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (usize, End, &'a EndPlan)> + 'a {
        self.cables.iter().enumerate().flat_map(move |(index, cable)| {
            End::BOTH
                .into_iter()
                .map(move |end| (index, end, cable.end(end)))
                .filter(move |(_, _, plan)| plan.host == name)
        })
    }

    /// The name of the interface that `end` of cable `index` is on its host: `eth0` and so on.
    pub fn interface(&self, index: usize, end: End) -> Option<String> {
        let plan = self.cables.get(index)?.end(end);
        let position = self.ends_of(&plan.host).position(|(i, e, _)| (i, e) == (index, end))?;
        Some(format!("eth{position}"))
    }

    /// The words for `ip -batch` *in the wire's namespace* that give the host whose first process
    /// is `pid` its end of the cable. `None` if there is no such cable.
    pub fn plug_script(&self, index: usize, end: End, pid: u32) -> Option<String> {
        let (socket, interface) = (socket_name(index, end), self.interface(index, end)?);
        let hardware = hardware_address(self.cables.get(index)?.end(end).address);
        Some(format!(
            "link add {socket} type veth peer name {interface} address {hardware} netns {pid}\n\
             link set {socket} up\n"
        ))
    }

    /// The words for `ip -batch` *in the host's namespace* that switch its interfaces on.
    pub fn links_script(&self, name: &str) -> String {
        let interfaces =
            self.ends_of(name).filter_map(|(index, end, _)| self.interface(index, end));
        let up = interfaces.map(|interface| format!("link set {interface} up\n"));
        std::iter::once("link set lo up\n".to_owned()).chain(up).collect()
    }

    /// The words for `ip -batch` *in the host's namespace*, once its interfaces are on, that give it
    /// addresses and routes of `family`.
    pub fn host_script(&self, name: &str, family: IpFamily) -> String {
        let mut script = String::new();
        // Nobody else is there who could have the address.
        let at_once = if family == IpFamily::V6 { " nodad" } else { "" };
        for (index, end, plan) in self.ends_of(name) {
            let Some(interface) = self.interface(index, end) else { continue };
            let (address, prefix) = (family.of(plan.address), family.prefix(plan.prefix));
            // Writing into a String cannot fail.
            let _ = writeln!(script, "address add {address}/{prefix} dev {interface}{at_once}");
            let Some(cable) = self.cables.get(index).filter(|cable| cable.without_arp) else {
                continue;
            };
            let neighbour = cable.end(end.other()).address;
            let (hardware, neighbour) = (hardware_address(neighbour), family.of(neighbour));
            let _ = writeln!(
                script,
                "neigh replace {neighbour} lladdr {hardware} dev {interface} nud permanent"
            );
        }
        if let Some(router) = self.host(name).and_then(|host| host.default_route) {
            let _ = writeln!(script, "route add {} via {}", family.everything(), family.of(router));
        }
        script
    }
}

/// The name, in the wire's namespace, of the link that leads to `end` of cable `index`.
pub(crate) fn socket_name(index: usize, end: End) -> String {
    format!("w{index}{}", end.letter())
}

/// The address of a plan that an address stands for, if it may be of one: what [`IpFamily::of`] undoes.
pub(crate) const fn planned(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(four) => Some(four),
        IpAddr::V6(six) => match six.segments() {
            [0xfd00, 0, 0, 0, 0, 0, high, low] => {
                Some(Ipv4Addr::from_bits((high as u32) << 16 | low as u32))
            }
            _ => None,
        },
    }
}

/// The address that goes with one of IPv4.
const fn over_ipv6(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, high, low)
}

/// A hardware address that follows from the address, so that a host keeps it when it boots again:
/// neighbours remember it. The first byte says locally administered, unicast (RFC 9542).
pub(crate) fn hardware_address(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

fn host(name: &str, default_route: Option<Ipv4Addr>) -> HostPlan {
    HostPlan { name: name.to_owned(), is_router: false, default_route }
}

fn end(host: &str, address: [u8; 4]) -> EndPlan {
    EndPlan { host: host.to_owned(), address: address.into(), prefix: 24 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(topology: &Topology) -> String {
        let mut text = String::new();
        for index in 0..topology.cables.len() {
            for end in End::BOTH {
                let _ = writeln!(text, "# wire: cable {index} {end:?}");
                text += &topology.plug_script(index, end, 4711).unwrap();
            }
        }
        for host in &topology.hosts {
            let _ = writeln!(text, "# {}", host.name);
            text += &topology.links_script(&host.name);
            text += &topology.host_script(&host.name, IpFamily::V4);
            let _ = writeln!(text, "# {}, with IPv6", host.name);
            text += &topology.host_script(&host.name, IpFamily::V6);
        }
        text
    }

    #[test]
    fn the_books_two_hosts_as_a_script() {
        insta::assert_snapshot!(scripts(&Topology::lan()));
    }

    #[test]
    fn known_neighbours_as_a_script() {
        insta::assert_snapshot!(scripts(&Topology::lan_without_arp()));
    }

    #[test]
    fn two_cables_and_a_router_as_a_script() {
        insta::assert_snapshot!(scripts(&Topology::routed()));
    }

    #[test]
    fn a_cable_that_is_not_planned_has_no_script() {
        assert_eq!(Topology::lan().plug_script(1, End::Left, 1), None);
    }
}
