//! Owns how things stand: the state in the RFC's words, who has closed what, what was heard last,
//! what is in flight. Read: RFC 9293 section 3.3.2 (the words for the states), 3.6 (closing).

use std::time::Duration;

use halfopen_core::{Observation, Sample, Shutdown, Span, TcpState};

use super::{Line, text};

/// The state, and who has closed what.
pub(super) fn state(sample: &Sample) -> Vec<Line> {
    let mut lines = vec![text(match rfc_words(sample.state) {
        Some(words) => format!("{}: \"{words}\" (RFC 9293, 3.3.2).", sample.state),
        None => format!("{}: this version does not know the state.", sample.state),
    })];
    lines.extend(closed(sample).map(text));
    if let Some(unread) = unread(sample) {
        lines.push(text(unread));
    }
    lines
}

/// What RFC 9293 section 3.3.2 says of each state.
const fn rfc_words(state: TcpState) -> Option<&'static str> {
    Some(match state {
        TcpState::SynSent => {
            "waiting for a matching connection request after having sent a connection request"
        }
        TcpState::SynReceived => {
            "waiting for a confirming connection request acknowledgment after having both received \
             and sent a connection request"
        }
        TcpState::Established => "an open connection, data received can be delivered to the user",
        TcpState::FinWait1 => {
            "waiting for a connection termination request from the remote TCP peer, or an \
             acknowledgment of the connection termination request previously sent"
        }
        TcpState::FinWait2 => {
            "waiting for a connection termination request from the remote TCP peer"
        }
        TcpState::CloseWait => "waiting for a connection termination request from the local user",
        TcpState::Closing => {
            "waiting for a connection termination request acknowledgment from the remote TCP peer"
        }
        TcpState::LastAck => {
            "waiting for an acknowledgment of the connection termination request previously sent \
             to the remote TCP peer"
        }
        TcpState::TimeWait => {
            "waiting for enough time to pass to be sure the remote TCP peer received the \
             acknowledgment of its connection termination request"
        }
        TcpState::Closed => "no connection state at all",
        TcpState::Listen => "waiting for a connection request from any remote TCP peer and port",
        TcpState::Other(_) => return None,
    })
}

/// Who has closed which direction, and who is to act next.
fn closed(sample: &Sample) -> Option<&'static str> {
    Some(match sample.state {
        TcpState::Established => match sample.shutdown {
            Some(Shutdown { receive: true, .. }) => {
                "Neither side has closed; our application said that it reads no more (SHUT_RD)."
            }
            _ => "Neither side has closed.",
        },
        TcpState::SynSent | TcpState::SynReceived => "Nobody has closed: it is not open yet.",
        TcpState::CloseWait => {
            "The peer has closed its direction (its FIN came); ours is open, and our application \
             is to act: it may still send, and has to close."
        }
        TcpState::FinWait1 => {
            "We have closed our direction; the peer has not acknowledged that, and its direction \
             is open."
        }
        TcpState::FinWait2 => {
            "We have closed our direction and the peer has acknowledged it; its direction is open, \
             and the peer is to act."
        }
        TcpState::LastAck => {
            "Both sides have closed, the peer first; it has not acknowledged our FIN."
        }
        TcpState::Closing => {
            "Both sides have closed, at the same time; the peer has not acknowledged our FIN."
        }
        TcpState::TimeWait => "Both sides have closed, and both know.",
        TcpState::Closed => "The kernel has ended it; only the descriptor is left.",
        TcpState::Listen | TcpState::Other(_) => return None,
    })
}

/// What our application has left unread. After the peer's FIN the queue counts one for it.
fn unread(sample: &Sample) -> Option<String> {
    let ended = matches!(
        sample.state,
        TcpState::CloseWait | TcpState::LastAck | TcpState::Closing | TcpState::TimeWait
    );
    match (sample.receive_queue, sample.state) {
        (0, TcpState::CloseWait) => {
            Some("Our application has read to the end of the stream.".to_owned())
        }
        (0, _) => None,
        (1, TcpState::CloseWait) => {
            Some("Our application has read all data, and not yet the end of the stream.".to_owned())
        }
        (queue, _) => Some(format!(
            "{} wait to be read by our application.",
            bytes(u64::from(if ended { queue - 1 } else { queue }))
        )),
    }
}

fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// What was last heard from the peer.
pub(super) fn heard(seen: &Observation) -> Vec<Line> {
    let sample = &seen.sample;
    if sample.state == TcpState::SynSent {
        return vec![text("Nothing was ever heard from the peer on this connection.")];
    }
    let Some(info) = &sample.info else {
        return vec![text("Unknown: the kernel keeps no such time for a socket in this state.")];
    };
    let came = |what: &str, ago: Option<Duration>| match ago {
        Some(ago) => format!("its last {what} {} ago", Span(ago)),
        None => format!("when its last {what} came is unknown"),
    };
    let mut lines = vec![text(format!(
        "The peer: {}, {}.",
        came("data", info.last_data_received),
        came("acknowledgement", info.last_ack_received)
    ))];
    if seen.last_heard_may_have_wrapped() {
        lines.push(text(format!(
            "Or a multiple of {} longer ago: the kernel counts these times no further, and this \
             host is up for {}.",
            Span(seen.age_range()),
            Span(sample.taken_at.0)
        )));
    }
    let mut numbers = Vec::new();
    if let Some(rtt) = info.srtt {
        numbers.push(format!("round trip {} us", rtt.as_micros()));
    }
    if let Some(received) = info.bytes_received {
        numbers.push(format!("{} received", bytes(received)));
    }
    if let Some(acked) = info.bytes_acked {
        numbers.push(format!("{} of ours acknowledged (a SYN counts as one)", bytes(acked)));
    }
    if let Some(again) = info.total_retransmissions.filter(|again| *again > 0) {
        let segments = if again == 1 { "segment" } else { "segments" };
        numbers.push(format!("{again} {segments} sent again"));
    }
    if !numbers.is_empty() {
        lines.push(text(format!("In its whole life: {}.", numbers.join(", "))));
    }
    lines
}

/// What of ours waits for the peer.
pub(super) fn in_flight(sample: &Sample) -> Vec<Line> {
    let mut lines = vec![text(match sample.unacked_segments() {
        None => "Unknown: the kernel gives no TCP_INFO for a socket in this state.".to_owned(),
        Some(0) => "Nothing of ours waits for an acknowledgement.".to_owned(),
        Some(1) => "1 segment of ours is not acknowledged.".to_owned(),
        Some(many) => format!("{many} segments of ours are not acknowledged."),
    })];
    if sample.send_queue > 0 {
        let fin = if sample.state.fin_unacknowledged() {
            " (one of them stands for our FIN)"
        } else {
            ""
        };
        lines.push(text(format!("The send queue holds {}{fin}.", bytes(sample.send_queue.into()))));
    }
    let Some(info) = &sample.info else { return lines };
    if info.send_window == Some(0) {
        lines.push(text("The peer's window is closed: it takes no more data."));
    }
    if let (Some(1..), Some(ago)) = (info.unacked_segments, info.last_data_sent) {
        lines.push(text(format!("The last segment with data went out {} ago.", Span(ago))));
    }
    lines
}
