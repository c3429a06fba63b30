//! Owns what traffic a connection stood in at the moment of the fault, from what its kernel counted: with
//! programs of other people it cannot be set, so it is seen. Pure. Read: tcp(7), uapi/linux/tcp.h.

use halfopen_core::{Sample, Span, TcpInfo};

use crate::{fault::Side, scenario::State};

/// Where the connection stood, as seen from the client's kernel, and where that has it, the server's.
pub(super) fn state(client: &Sample, server: Option<&Sample>) -> State {
    let both = || [Some(client), server].into_iter().flatten();
    if both().any(|end| is_under_way(end) || end.receive_queue > 0) {
        return State::Writing;
    }
    if client.info.as_ref().is_some_and(spoke_last) { State::Waiting } else { State::Idle }
}

/// The same of one end, in a clause.
pub(super) fn words(side: Side, end: &Sample) -> String {
    let unread = match end.receive_queue {
        0 => String::new(),
        bytes => format!(", {bytes} bytes not read by its program"),
    };
    let segments = end.unacked_segments().unwrap_or(0);
    if segments > 0 {
        let (plural, bytes) = (if segments == 1 { "" } else { "s" }, end.send_queue);
        return format!("{segments} segment{plural} of {bytes} bytes not acknowledged{unread}");
    }
    let Some(info) = &end.info else { return format!("its kernel keeps no count{unread}") };
    let sent = match (has_sent(side, info), info.last_data_sent) {
        (true, Some(ago)) => format!("last sent {} ago", Span(ago)),
        _ => "has sent nothing".to_owned(),
    };
    let received = match (has_received(info), info.last_data_received) {
        (true, Some(ago)) => format!("last received {} ago", Span(ago)),
        _ => "has received nothing".to_owned(),
    };
    format!("nothing in flight, {sent}, {received}{unread}")
}

fn is_under_way(end: &Sample) -> bool {
    end.in_flight() == Some(true) || end.send_queue > 0
}

/// The last word was its own: it waits for an answer. Ages are in ticks, in one of which a whole exchange
/// may have passed; then nobody waits.
fn spoke_last(client: &TcpInfo) -> bool {
    let is_later = client.last_data_sent < client.last_data_received;
    has_sent(Side::Client, client) && (is_later || !has_received(client))
}

/// To the one who opens the connection its SYN counts as a byte (tcp_ack).
fn has_sent(side: Side, info: &TcpInfo) -> bool {
    info.bytes_acked.is_some_and(|bytes| bytes > u64::from(side == Side::Client))
}

fn has_received(info: &TcpInfo) -> bool {
    info.bytes_received.is_some_and(|bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use halfopen_core::{Endpoints, Family, Inside, KernelTimer, Moment, Source, TcpState};

    use super::*;

    fn end(info: TcpInfo) -> Sample {
        let address = |text: &str| text.parse().unwrap();
        Sample {
            source: Source::SockDiag,
            taken_at: Moment(Duration::from_secs(100)),
            id: "1f3a@4026531840".parse().unwrap(),
            family: Family::V4,
            endpoints: Endpoints {
                local: address("10.0.1.1:40000"),
                peer: address("10.0.2.7:80"),
                interface: None,
            },
            state: TcpState::Established,
            timer: KernelTimer::Off,
            receive_queue: 0,
            send_queue: 0,
            uid: None,
            inode: Some(1),
            cgroup_id: None,
            shutdown: None,
            info: Some(info),
            inside: Inside::default(),
        }
    }

    /// The SYN and what was written; ages in milliseconds.
    fn talked(acked: u64, sent_ago: u64, received: u64, received_ago: u64) -> TcpInfo {
        TcpInfo {
            unacked_segments: Some(0),
            bytes_acked: Some(acked),
            last_data_sent: Some(Duration::from_millis(sent_ago)),
            bytes_received: Some(received),
            last_data_received: Some(Duration::from_millis(received_ago)),
            ..TcpInfo::default()
        }
    }

    #[test]
    fn who_spoke_last_and_was_not_answered_waits() {
        assert_eq!(state(&end(talked(65, 500, 0, 500)), None), State::Waiting, "never answered");
        assert_eq!(state(&end(talked(65, 400, 9, 500)), None), State::Waiting, "asked again");
        assert_eq!(state(&end(talked(65, 500, 9, 500)), None), State::Idle, "all in one tick");
        assert_eq!(state(&end(talked(65, 500, 9, 400)), None), State::Idle, "answered");
        assert_eq!(state(&end(talked(1, 500, 0, 500)), None), State::Idle, "nothing but a SYN");
    }

    #[test]
    fn what_is_in_flight_or_unread_at_either_end_is_writing() {
        let idle = end(talked(65, 500, 9, 400));
        let in_flight = TcpInfo { unacked_segments: Some(2), ..talked(65, 5, 9, 400) };
        assert_eq!(state(&end(in_flight.clone()), Some(&idle)), State::Writing);
        assert_eq!(state(&idle, Some(&end(in_flight.clone()))), State::Writing);
        let unread = Sample { receive_queue: 7, ..idle.clone() };
        assert_eq!(state(&idle, Some(&unread)), State::Writing);
        assert_eq!(
            words(Side::Client, &Sample { send_queue: 1200, ..end(in_flight) }),
            "2 segments of 1200 bytes not acknowledged"
        );
        assert!(words(Side::Server, &unread).ends_with(", 7 bytes not read by its program"));
    }
}
