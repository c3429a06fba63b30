//! Owns the reading of one datagram of a sock_diag answer: its sockets, its errors, and whether it
//! is the last. Opens no socket. Read: netlink(7), linux net/netlink/af_netlink.c `netlink_dump`.

use halfopen_core::{Moment, NetnsId, Sample};

use super::{
    WireError,
    inet_diag::{self, SOCK_DIAG_BY_FAMILY},
    netlink::{self, Message},
};

/// What one datagram says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The sockets that it describes.
    pub samples: Vec<Sample>,
    /// What in it could not be decoded. The messages around it were.
    pub malformed: Vec<WireError>,
    /// The table changed during the dump (NLM_F_DUMP_INTR), so sockets may be missing.
    pub interrupted: bool,
    /// How the answer ends; `None` if more datagrams follow.
    pub end: Option<End>,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Complete,
    /// The kernel refused, with this error number.
    Refused(i32),
}

/// Reads one datagram that answers the request numbered `sequence`; messages that answer other
/// requests are passed over.
pub fn decode(datagram: &[u8], sequence: u32, netns: NetnsId, taken_at: Moment) -> Answer {
    let mut answer = Answer::default();
    for message in netlink::messages(datagram) {
        let message = match message {
            Ok(message) if message.sequence == sequence => message,
            Ok(_) => continue,
            Err(error) => {
                answer.malformed.push(error);
                continue;
            }
        };
        answer.interrupted |= message.flags & Message::DUMP_INTERRUPTED != 0;
        match message.kind {
            SOCK_DIAG_BY_FAMILY => match inet_diag::decode(message.payload, netns, taken_at) {
                Ok(sample) => answer.samples.push(sample),
                Err(error) => answer.malformed.push(error),
            },
            Message::ERROR | Message::DONE => {
                answer.end = Some(match message.error_number() {
                    None | Some(0) => End::Complete,
                    Some(number) => End::Refused(number),
                });
            }
            _ => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests;
