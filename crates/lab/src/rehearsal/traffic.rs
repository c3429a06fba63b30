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
