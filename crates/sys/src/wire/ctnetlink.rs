//! Owns the messages of ctnetlink for TCP: requests out, `IPCTNL_MSG_CT_NEW` in. Numbers in its
//! attributes are big-endian, unlike those around them. Opens no socket.
//! Read: uapi/linux/netfilter/nfnetlink_conntrack.h, linux net/netfilter/nf_conntrack_netlink.c.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use halfopen_core::{Route, TrackedFlow, TrackedState};

use super::{WireError, answer::Answer, netlink};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`: the type of requests.
pub const CT_GET: u16 = 0x101;
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`: the type of answers.
pub const CT_NEW: u16 = 0x100;

/// The body of a request for every entry, whatever its protocol and family.
pub fn dump_request() -> Vec<u8> {
    head(AF_UNSPEC)
}

/// The body of a request for the one TCP entry, in the default zone, that has `route` as its
/// original route or as its reply. Both ends have to be of one family, else no entry will fit.
pub fn look_up_request(route: &Route) -> Vec<u8> {
    let (family, addresses) = match (route.from.ip(), route.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            AF_INET,
            [attribute(CTA_IP_V4_SRC, &from.octets()), attribute(CTA_IP_V4_DST, &to.octets())],
        ),
        (from, to) => (
            AF_INET6,
            [
                attribute(CTA_IP_V6_SRC, &ipv6_octets(from)),
                attribute(CTA_IP_V6_DST, &ipv6_octets(to)),
            ],
        ),
    };
    let ports = [
        attribute(CTA_PROTO_NUM, &[IPPROTO_TCP]),
        attribute(CTA_PROTO_SRC_PORT, &route.from.port().to_be_bytes()),
        attribute(CTA_PROTO_DST_PORT, &route.to.port().to_be_bytes()),
    ];
    let tuple = [
        attribute(NLA_F_NESTED | CTA_TUPLE_IP, &addresses.concat()),
        attribute(NLA_F_NESTED | CTA_TUPLE_PROTO, &ports.concat()),
    ];
    let mut body = head(family);
    // The table is one of routes, original or reply, so this finds either.
    body.extend(attribute(NLA_F_NESTED | CTA_TUPLE_ORIG, &tuple.concat()));
    body
}

/// Reads one datagram that answers the request numbered `sequence`.
pub fn answer(datagram: &[u8], sequence: u32) -> Answer<TrackedFlow> {
    Answer::read(datagram, sequence, CT_NEW, decode)
}

/// One entry; `None` if it is of another protocol than TCP.
///
/// # Errors
/// [`WireError`] where a route is not all there, or the framing makes no sense. Offsets count from
/// the start of the attribute list that they are in.
pub fn decode(payload: &[u8]) -> Result<Option<TrackedFlow>, WireError> {
    let what = "a tracked flow";
    let attributes = payload.get(HEAD..).ok_or(WireError::Short {
        what,
        offset: 0,
        expected: HEAD,
        got: payload.len(),
    })?;
    let (mut original, mut reply) = (None, None);
    let (mut state, mut remaining, mut status, mut zone) = (None, None, None, None);
    for attribute in netlink::attributes(attributes) {
        let netlink::Attribute { kind, payload } = attribute?;
        match kind {
            CTA_TUPLE_ORIG => original = Some(tuple(payload)?),
            CTA_TUPLE_REPLY => reply = Some(tuple(payload)?),
            CTA_STATUS => status = be_u32(payload),
            CTA_PROTOINFO => state = tcp_state(payload)?,
            CTA_TIMEOUT => remaining = be_u32(payload),
            CTA_ZONE => zone = be_u16(payload),
            _ => {}
        }
    }
    let missing = |what| WireError::Short { what, offset: HEAD, expected: 1, got: 0 };
    let original = original.ok_or_else(|| missing("the original route of a tracked flow"))?;
    let reply = reply.ok_or_else(|| missing("the reply route of a tracked flow"))?;
    if original.protocol != Some(IPPROTO_TCP) {
        return Ok(None);
    }
    Ok(Some(TrackedFlow {
        original: original.route()?,
        reply: reply.route()?,
        state: state.map(TrackedState::from_kernel),
        remaining: remaining.map(|seconds| Duration::from_secs(seconds.into())),
        assured: status.map(|bits| bits & IPS_ASSURED != 0),
        offloaded: status.map(|bits| bits & IPS_OFFLOADED != 0),
        zone,
    }))
}

/// `struct nf_conntrack_tuple`, as far as it was said.
#[derive(Default)]
struct Tuple {
    protocol: Option<u8>,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    from_port: Option<u16>,
    to_port: Option<u16>,
}

impl Tuple {
    fn route(&self) -> Result<Route, WireError> {
        let end = |address: Option<IpAddr>, port: Option<u16>| {
            address.zip(port).map(|(address, port)| SocketAddr::new(address, port))
        };
        let ends = end(self.from, self.from_port).zip(end(self.to, self.to_port));
        let (from, to) = ends.ok_or(WireError::Short {
            what: "the addresses and ports of a tracked flow",
            offset: 0,
            expected: 4,
            got: self.said(),
        })?;
        Ok(Route { from, to })
    }

    fn said(&self) -> usize {
        let said = [
            self.from.is_some(),
            self.to.is_some(),
            self.from_port.is_some(),
            self.to_port.is_some(),
        ];
        said.into_iter().filter(|said| *said).count()
    }
}

fn tuple(bytes: &[u8]) -> Result<Tuple, WireError> {
    let mut said = Tuple::default();
    for part in netlink::attributes(bytes) {
        let part = part?;
        if !matches!(part.kind, CTA_TUPLE_IP | CTA_TUPLE_PROTO) {
            continue;
        }
        for attribute in netlink::attributes(part.payload) {
            let netlink::Attribute { kind, payload } = attribute?;
            match (part.kind, kind) {
                (CTA_TUPLE_IP, CTA_IP_V4_SRC | CTA_IP_V6_SRC) => said.from = address(payload),
                (CTA_TUPLE_IP, CTA_IP_V4_DST | CTA_IP_V6_DST) => said.to = address(payload),
                (CTA_TUPLE_PROTO, CTA_PROTO_NUM) => said.protocol = payload.first().copied(),
                (CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT) => said.from_port = be_u16(payload),
                (CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT) => said.to_port = be_u16(payload),
                _ => {}
            }
        }
    }
    Ok(said)
}

fn tcp_state(bytes: &[u8]) -> Result<Option<u8>, WireError> {
    for protocol in netlink::attributes(bytes) {
        let protocol = protocol?;
        if protocol.kind != CTA_PROTOINFO_TCP {
            continue;
        }
        for attribute in netlink::attributes(protocol.payload) {
            let attribute = attribute?;
            if attribute.kind == CTA_PROTOINFO_TCP_STATE {
                return Ok(attribute.payload.first().copied());
            }
        }
    }
    Ok(None)
}

/// The length tells the family.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn ipv6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn be_u16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_be_bytes)
}

fn be_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}

/// `struct nfgenmsg`: family, version 0, resource 0.
fn head(family: u8) -> Vec<u8> {
    vec![family, 0, 0, 0]
}

/// One attribute of a request; `payload` must be shorter than 64 KiB, as all of ours are.
fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `sizeof(struct nfgenmsg)`.
const HEAD: usize = 4;
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const NLA_F_NESTED: u16 = 0x8000;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_TIMEOUT: u16 = 7;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const IPS_ASSURED: u32 = 1 << 2;
/// IPS_OFFLOAD and IPS_HW_OFFLOAD.
const IPS_OFFLOADED: u32 = 1 << 14 | 1 << 15;

#[cfg(test)]
mod tests;
