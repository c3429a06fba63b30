//! Against dumps recorded on Linux 6.18.44 and 6.1.192, x86-64, in a namespace of its own, and one cut short.

use std::time::Duration;

use halfopen_core::{Family, KernelTimer, Moment, NetnsId, Sample, TcpState};
use proptest::prelude::*;

use super::*;
use crate::wire::inet_diag;

const NETNS: NetnsId = NetnsId(4_026_531_840);
const NOW: Moment = Moment(Duration::from_secs(5));

const IPV4: &[u8] = include_bytes!("../../../tests/fixtures/sockets-6.18-x86_64-ipv4.bin");
const IPV6: &[u8] = include_bytes!("../../../tests/fixtures/sockets-6.18-x86_64-ipv6.bin");
const IPV4_OF_6_1: &[u8] = include_bytes!("../../../tests/fixtures/sockets-6.1-x86_64-ipv4.bin");
const CUT_SHORT: &[u8] = include_bytes!("../../../tests/fixtures/sockets-cut-short.bin");

fn read(bytes: &[u8]) -> Answer<Sample> {
    inet_diag::answer(bytes, 1, NETNS, NOW)
}

/// The client's or server's end of the connection whose client has `port`.
fn end(answer: &Answer<Sample>, local: u16, peer: u16) -> &Sample {
    let found = answer.entries.iter().find(|sample| {
        (sample.endpoints.local.port(), sample.endpoints.peer.port()) == (local, peer)
    });
    found.expect("the recording has this connection")
}

#[test]
#[cfg(target_endian = "little")]
fn the_recorded_ipv4_sockets_are_read_with_all_that_the_kernel_said() {
    let answer = read(IPV4);
    assert_eq!((answer.malformed.len(), answer.end), (0, Some(End::Complete)));

    let listener = end(&answer, 40111, 0);
    assert_eq!((listener.state, listener.send_queue), (TcpState::Listen, 5));

    let idle = end(&answer, 50001, 40111);
    assert_eq!(idle.state, TcpState::Established);
    assert!(matches!(idle.timer, KernelTimer::Keepalive { probes: 0, .. }), "{:?}", idle.timer);
    assert!(idle.inode.is_some() && idle.cgroup_id.is_some() && idle.shutdown.is_some());
    let info = idle.info.as_ref().unwrap();
    assert_eq!((info.sack, info.timestamps), (Some(true), Some(true)));
    assert_eq!(info.total_rto, Some(0));

    let told = end(&answer, 50002, 40111);
    assert_eq!((told.state, told.receive_queue), (TcpState::CloseWait, 1));
    assert!(told.shutdown.unwrap().receive && !told.shutdown.unwrap().send);
    assert_eq!(end(&answer, 40111, 50002).state, TcpState::FinWait2);
}

#[test]
#[cfg(target_endian = "little")]
fn the_recorded_mini_sockets_say_no_user_no_inode_and_no_info() {
    let answer = read(IPV4);
    let waiting = end(&answer, 50005, 40111);
    assert_eq!(waiting.state, TcpState::TimeWait);
    let orphan = end(&answer, 50006, 40111);
    assert_eq!(orphan.state, TcpState::FinWait2);
    for mini in [waiting, orphan] {
        assert!(mini.is_mini() && matches!(mini.timer, KernelTimer::TimeWait { .. }));
        assert_eq!((mini.uid, mini.inode, mini.shutdown), (None, None, None));
        assert_ne!(mini.id.cookie.0, 0);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn the_shorter_tcp_info_of_6_1_lacks_what_came_later_and_nothing_else() {
    let answer = read(IPV4_OF_6_1);
    assert_eq!((answer.malformed.len(), answer.end), (0, Some(End::Complete)));
    assert_eq!(end(&answer, 50002, 40111).state, TcpState::CloseWait);
    assert_eq!(end(&answer, 40111, 50002).state, TcpState::FinWait2);
    assert!(end(&answer, 50005, 40111).is_mini() && end(&answer, 50006, 40111).is_mini());

    let idle = end(&answer, 50001, 40111);
    assert!(matches!(idle.timer, KernelTimer::Keepalive { probes: 0, .. }), "{:?}", idle.timer);
    assert!(idle.inode.is_some() && idle.cgroup_id.is_some() && idle.shutdown.is_some());
    let info = idle.info.as_ref().unwrap();
    assert!(info.send_window.is_some() && info.srtt.is_some());
    assert_eq!(info.receive_window, None);
    assert_eq!(
        (info.total_rto, info.total_rto_recoveries, info.total_rto_time),
        (None, None, None)
    );
}

#[test]
#[cfg(target_endian = "little")]
fn a_retransmission_recorded_on_6_1_says_all_but_for_how_long_it_has_been_going_on() {
    let answer = read(IPV4_OF_6_1);
    let straining = end(&answer, 50007, 40113);
    assert!(matches!(straining.timer, KernelTimer::Retransmit { retransmits: 3, .. }));
    assert_eq!(straining.in_flight(), Some(true));
    let info = straining.info.as_ref().unwrap();
    assert_eq!((info.retransmits, info.backoff), (Some(3), Some(3)));
    assert!(info.rto >= Some(Duration::from_millis(1600)), "{:?}", info.rto);
    assert!(info.last_data_sent.is_some() && info.last_ack_received.is_some());
    assert_eq!(info.total_rto_time, None);
}

#[test]
#[cfg(target_endian = "little")]
fn the_recorded_mapped_connection_has_ipv4_addresses() {
    let answer = read(IPV6);
    assert_eq!((answer.malformed.len(), answer.end), (0, Some(End::Complete)));
    let mapped = end(&answer, 40112, 50003);
    assert_eq!(mapped.family, Family::V4Mapped);
    assert_eq!(mapped.endpoints.peer, "127.0.0.1:50003".parse().unwrap());
    assert_eq!(end(&answer, 50004, 40112).family, Family::V6);
    let listener = end(&answer, 40112, 0);
    assert_eq!((listener.family, listener.send_queue), (Family::V6, 7));
}

#[test]
#[cfg(target_endian = "little")]
fn a_dump_cut_short_keeps_what_came_before_the_cut() {
    let (whole, part) = (read(IPV4), read(CUT_SHORT));
    assert!(!part.entries.is_empty());
    assert_eq!(part.entries[..], whole.entries[..part.entries.len()]);
    assert!(matches!(part.malformed[..], [WireError::Length { .. }]));
    assert_eq!(part.end, None);
}

#[test]
#[cfg(target_endian = "little")]
fn a_malformed_socket_is_reported_and_the_others_are_still_read() {
    let mut bytes = IPV4.to_vec();
    // The address family of the first socket.
    bytes[16] = 99;
    let (whole, rest) = (read(IPV4), read(&bytes));
    assert_eq!(rest.malformed, [WireError::Family { offset: 0, got: 99 }]);
    assert_eq!(rest.entries[..], whole.entries[1..]);
}

#[test]
fn a_refusal_ends_the_answer_with_its_number() {
    let bytes = netlink::request(Message::ERROR, 0, 1, &(-2_i32).to_ne_bytes());
    assert_eq!(read(&bytes).end, Some(End::Refused(2)));
}

#[test]
fn an_interrupted_dump_is_marked_by_any_of_its_messages() {
    let bytes = netlink::request(Message::DONE, Message::DUMP_INTERRUPTED, 1, &[0; 4]);
    assert!(read(&bytes).interrupted);
}

#[test]
fn answers_to_another_request_are_passed_over() {
    let bytes = netlink::request(Message::DONE, 0, 2, &[0; 4]);
    assert_eq!(read(&bytes), Answer::default());
}

proptest! {
    #[test]
    fn a_recording_with_any_byte_changed_never_panics(
        at in 0..IPV4.len(), value in any::<u8>()
    ) {
        let mut bytes = IPV4.to_vec();
        bytes[at] = value;
        let _ = read(&bytes);
    }
}
