use proptest::prelude::*;

use super::*;
use crate::wire::answer::End;

/// The kernel's side of the codec, as far as the model goes (ctnetlink_fill_info).
fn encode(flow: &TrackedFlow) -> Vec<u8> {
    let mut bytes = head(if flow.original.from.is_ipv4() { AF_INET } else { AF_INET6 });
    // The routes are laid out alike in requests and answers.
    let route = |kind, route| attribute(NLA_F_NESTED | kind, &look_up_request(route)[HEAD + 4..]);
    bytes.extend(route(CTA_TUPLE_ORIG, &flow.original));
    bytes.extend(route(CTA_TUPLE_REPLY, &flow.reply));
    if let (Some(assured), Some(offloaded)) = (flow.assured, flow.offloaded) {
        // IPS_SEEN_REPLY and IPS_CONFIRMED are set besides.
        let status = 0b1010 | u32::from(assured) << 2 | u32::from(offloaded) << 14;
        bytes.extend(attribute(CTA_STATUS, &status.to_be_bytes()));
    }
    // CTA_MARK, which is of no use here, and an attribute of a later kernel.
    bytes.extend(attribute(8, &7_u32.to_be_bytes()));
    bytes.extend(attribute(4711, b"whatever"));
    if let Some(remaining) = flow.remaining {
        let seconds = u32::try_from(remaining.as_secs()).unwrap();
        bytes.extend(attribute(CTA_TIMEOUT, &seconds.to_be_bytes()));
    }
    if let Some(state) = flow.state {
        let number = (0..=255).find(|number| TrackedState::from_kernel(*number) == state).unwrap();
        // CTA_PROTOINFO_TCP_WSCALE_ORIGINAL comes behind it.
        let tcp = [attribute(CTA_PROTOINFO_TCP_STATE, &[number]), attribute(2, &[7])].concat();
        let tcp = attribute(NLA_F_NESTED | CTA_PROTOINFO_TCP, &tcp);
        bytes.extend(attribute(NLA_F_NESTED | CTA_PROTOINFO, &tcp));
    }
    if let Some(zone) = flow.zone {
        bytes.extend(attribute(CTA_ZONE, &zone.to_be_bytes()));
    }
    bytes
}

fn message(payload: &[u8]) -> Vec<u8> {
    netlink::request(CT_NEW, 2, 9, payload)
}

fn routes() -> impl Strategy<Value = (Route, Route)> {
    let v4 = any::<[u8; 4]>().prop_map(IpAddr::from).boxed();
    let v6 = any::<[u8; 16]>().prop_map(IpAddr::from).boxed();
    let route = |address: BoxedStrategy<IpAddr>| {
        ((address.clone(), any::<u16>()), (address, any::<u16>()))
            .prop_map(|(from, to)| Route { from: from.into(), to: to.into() })
    };
    prop_oneof![(route(v4.clone()), route(v4)), (route(v6.clone()), route(v6)),]
}

prop_compose! {
    fn flows()(
        (original, reply) in routes(),
        state in prop::option::of(any::<u8>().prop_map(TrackedState::from_kernel)),
        seconds in prop::option::of(any::<u32>()),
        status in any::<Option<(bool, bool)>>(),
        zone in any::<Option<u16>>(),
    ) -> TrackedFlow {
        TrackedFlow {
            original,
            reply,
            state,
            remaining: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            assured: status.map(|(assured, _)| assured),
            offloaded: status.map(|(_, offloaded)| offloaded),
            zone,
        }
    }
}

fn established() -> TrackedFlow {
    let (client, server) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.7:111".parse().unwrap());
    TrackedFlow {
        original: Route { from: client, to: server },
        reply: Route { from: server, to: client },
        state: Some(TrackedState::Established),
        remaining: Some(Duration::from_secs(431_999)),
        assured: Some(true),
        offloaded: Some(false),
        zone: None,
    }
}

proptest! {
    #[test]
    fn a_flow_reads_back_as_the_kernel_wrote_it(flow in flows()) {
        prop_assert_eq!(decode(&encode(&flow)), Ok(Some(flow)));
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_or_a_shorter_truth(
        flow in flows(), cut in 0_usize..300
    ) {
        let bytes = encode(&flow);
        match decode(&bytes[..cut.min(bytes.len())]) {
            Ok(Some(part)) => {
                prop_assert_eq!((part.original, part.reply), (flow.original, flow.reply));
                prop_assert!(part.remaining.is_none() || part.remaining == flow.remaining);
                prop_assert!(part.state.is_none() || part.state == flow.state);
            }
            Ok(None) => prop_assert!(false, "TCP was taken for something else"),
            Err(error) => prop_assert!(cut < bytes.len(), "{}", error),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let _ = answer(&bytes, 9);
    }

    #[test]
    fn a_flipped_byte_leaves_the_messages_around_it_readable(
        at in 16_usize..100, bits in 1_u8..=255
    ) {
        let mut middle = message(&encode(&established()));
        middle[at] ^= bits;
        let whole = message(&encode(&established()));
        let datagram = [whole.clone(), middle, whole].concat();
        let answer = answer(&datagram, 9);
        let intact = answer.entries.iter().filter(|flow| **flow == established()).count();
        prop_assert!(intact >= 2, "{answer:?}");
        prop_assert!(answer.entries.len() + answer.malformed.len() <= 3);
    }
}

#[test]
fn an_answer_without_a_reply_route_is_an_error_and_the_rest_is_decoded() {
    let mut half = head(AF_INET);
    let route = look_up_request(&established().original);
    half.extend(&route[HEAD..]);
    let datagram = [message(&half), message(&encode(&established()))].concat();
    let answer = answer(&datagram, 9);
    assert_eq!(answer.entries, [established()]);
    let what = "the reply route of a tracked flow";
    assert_eq!(answer.malformed, [WireError::Short { what, offset: 4, expected: 1, got: 0 }]);
}

#[test]
fn a_route_without_a_port_is_an_error_and_not_port_zero() {
    let addresses =
        [attribute(CTA_IP_V4_SRC, &[10, 0, 0, 1]), attribute(CTA_IP_V4_DST, &[10, 0, 0, 7])];
    let ports = attribute(CTA_PROTO_NUM, &[IPPROTO_TCP]);
    let tuple =
        [attribute(CTA_TUPLE_IP, &addresses.concat()), attribute(CTA_TUPLE_PROTO, &ports)].concat();
    let mut body = head(AF_INET);
    body.extend([attribute(CTA_TUPLE_ORIG, &tuple), attribute(CTA_TUPLE_REPLY, &tuple)].concat());
    let error = decode(&body).unwrap_err();
    assert!(matches!(error, WireError::Short { expected: 4, got: 2, .. }), "{error}");
}

#[test]
fn flows_of_other_protocols_are_passed_over_without_an_error() {
    // UDP, and ICMP, which has no ports.
    let mut udp = encode(&established());
    let protocol = udp.iter().position(|&byte| byte == IPPROTO_TCP).unwrap();
    udp[protocol] = 17;
    assert_eq!(decode(&udp), Ok(None));
    let icmp = attribute(CTA_TUPLE_PROTO, &attribute(CTA_PROTO_NUM, &[1]));
    let mut body = head(AF_INET);
    body.extend([attribute(CTA_TUPLE_ORIG, &icmp), attribute(CTA_TUPLE_REPLY, &icmp)].concat());
    assert_eq!(decode(&body), Ok(None));
}

#[test]
fn a_refusal_and_the_answers_to_other_requests_are_told_apart() {
    let refusal = netlink::request(netlink::Message::ERROR, 0, 9, &(-1_i32).to_ne_bytes());
    assert_eq!(answer(&refusal, 9).end, Some(End::Refused(1)));
    assert_eq!(answer(&refusal, 10), Answer::default());
}

#[test]
fn an_offloaded_flow_says_neither_its_life_nor_its_state() {
    let flow = TrackedFlow { state: None, remaining: None, offloaded: Some(true), ..established() };
    assert_eq!(decode(&encode(&flow)), Ok(Some(flow)));
}
