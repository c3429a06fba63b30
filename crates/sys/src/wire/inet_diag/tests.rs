use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NETNS: NetnsId = NetnsId(4_026_531_840);
const NOW: Moment = Moment(Duration::from_secs(5));

/// The kernel's side of the codec, as far as the model goes (inet_diag_msg_common_fill).
fn encode(sample: &Sample) -> Vec<u8> {
    let (timer, count, expires) = timer_fields(sample.timer);
    let mut bytes = vec![
        if sample.family == Family::V4 { AF_INET } else { AF_INET6 },
        state_number(sample.state),
        timer,
        count,
    ];
    // The identity is laid out alike in requests and answers, after 8 and after 4 bytes.
    bytes.extend(look_up_request(sample.family, &sample.endpoints, sample.id.cookie).split_off(8));
    bytes.extend(expires.to_ne_bytes());
    bytes.extend(sample.receive_queue.to_ne_bytes());
    bytes.extend(sample.send_queue.to_ne_bytes());
    bytes.extend(sample.uid.unwrap_or(0).to_ne_bytes());
    bytes.extend(u32::try_from(sample.inode.unwrap_or(0)).unwrap().to_ne_bytes());
    if let Some(shutdown) = sample.shutdown {
        let bits = u8::from(shutdown.receive) | u8::from(shutdown.send) << 1;
        bytes.extend(attribute(INET_DIAG_SHUTDOWN, &[bits]));
    }
    // An attribute of a later kernel.
    bytes.extend(attribute(4711, b"whatever"));
    if let Some(cgroup) = sample.cgroup_id {
        bytes.extend(attribute(INET_DIAG_CGROUP_ID, &cgroup.to_ne_bytes()));
    }
    bytes
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + payload.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn timer_fields(timer: KernelTimer) -> (u8, u8, u32) {
    let ms = |span: Duration| u32::try_from(span.as_millis()).unwrap();
    match timer {
        KernelTimer::Off => (0, 0, 0),
        KernelTimer::Retransmit { retransmits, expires_in } => (1, retransmits, ms(expires_in)),
        KernelTimer::Keepalive { probes, expires_in } => (2, probes, ms(expires_in)),
        KernelTimer::TimeWait { expires_in } => (3, 0, ms(expires_in)),
        KernelTimer::WindowProbe { probes, expires_in } => (4, probes, ms(expires_in)),
        KernelTimer::Other { kind, expires_in } => (kind, 0, ms(expires_in)),
    }
}

fn state_number(state: TcpState) -> u8 {
    (1..=11).find(|number| TcpState::from_kernel(*number) == state).unwrap()
}

fn addresses() -> impl Strategy<Value = (Family, IpAddr, IpAddr)> {
    let v4 = any::<[u8; 4]>().prop_map(IpAddr::from);
    let v6 = any::<[u16; 8]>()
        .prop_map(IpAddr::from)
        .prop_filter("not mapped", |address| address.to_canonical().is_ipv6());
    prop_oneof![
        (Just(Family::V4), v4.clone(), v4.clone()),
        (Just(Family::V4Mapped), v4.clone(), v4),
        (Just(Family::V6), v6.clone(), v6),
    ]
}

fn timers() -> impl Strategy<Value = KernelTimer> {
    (0..=6_u8, any::<u8>(), any::<u32>())
        .prop_map(|(kind, count, ms)| KernelTimer::from_kernel(kind, count, ms))
}

prop_compose! {
    fn samples()(
        (family, local, peer) in addresses(),
        ports in any::<(u16, u16)>(),
        interface in prop::option::of(1..u32::MAX),
        cookie in any::<u64>(),
        state in (1..=11_u8).prop_map(TcpState::from_kernel),
        timer in timers(),
        queues in any::<(u32, u32)>(),
        owner in prop::option::of((1..u32::MAX, any::<u32>())),
        cgroup_id in any::<Option<u64>>(),
        shutdown in any::<Option<(bool, bool)>>(),
    ) -> Sample {
        Sample {
            source: Source::SockDiag,
            taken_at: NOW,
            id: ConnectionId { cookie: Cookie(cookie), netns: NETNS },
            family,
            endpoints: Endpoints {
                local: SocketAddr::new(local, ports.0),
                peer: SocketAddr::new(peer, ports.1),
                interface,
            },
            state,
            timer,
            receive_queue: queues.0,
            send_queue: queues.1,
            uid: owner.map(|(_, uid)| uid),
            inode: owner.map(|(inode, _)| inode.into()),
            cgroup_id,
            shutdown: shutdown.map(|(receive, send)| Shutdown { receive, send }),
            info: None,
            inside: Inside::default(),
        }
    }
}

proptest! {
    #[test]
    fn a_socket_reads_back_as_the_kernel_wrote_it(sample in samples()) {
        prop_assert_eq!(decode(&encode(&sample), NETNS, NOW), Ok(sample));
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_or_a_shorter_truth(
        sample in samples(), cut in 0_usize..200
    ) {
        let bytes = encode(&sample);
        match decode(&bytes[..cut.min(bytes.len())], NETNS, NOW) {
            Ok(part) => {
                prop_assert_eq!(part.id, sample.id);
                prop_assert!(part.cgroup_id.is_none() || part.cgroup_id == sample.cgroup_id);
            }
            Err(error) => prop_assert!(cut < bytes.len(), "{}", error),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, NETNS, NOW);
    }
}

#[test]
fn a_header_without_its_last_byte_says_how_much_is_missing() {
    let error = decode(&[AF_INET; 71], NETNS, NOW).unwrap_err();
    let expected = WireError::Short { what: "a socket", offset: 0, expected: 72, got: 71 };
    assert_eq!(error, expected);
}

#[test]
fn a_socket_of_another_family_is_refused_by_its_number() {
    assert_eq!(decode(&[1; 72], NETNS, NOW), Err(WireError::Family { offset: 0, got: 1 }));
}

#[test]
fn a_broken_attribute_is_found_behind_the_header() {
    let mut bytes = vec![0; 72];
    bytes[0] = AF_INET;
    bytes.extend([200, 0, 2, 0, 1, 1, 1, 1]);
    let what = "a netlink attribute";
    #[cfg(target_endian = "little")]
    assert_eq!(
        decode(&bytes, NETNS, NOW),
        Err(WireError::Length { what, offset: 72, least: 4, most: 8, got: 200 })
    );
    #[cfg(target_endian = "big")]
    let _ = what;
}

#[test]
fn a_user_of_zero_is_root_only_beside_an_inode() {
    let mut bytes = vec![0; 72];
    bytes[0] = AF_INET;
    assert_eq!(decode(&bytes, NETNS, NOW).unwrap().uid, None);
    bytes[68] = 1;
    assert_eq!(decode(&bytes, NETNS, NOW).unwrap().uid, Some(0));
}
