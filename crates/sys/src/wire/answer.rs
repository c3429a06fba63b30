//! Owns the reading of one datagram of a netlink answer: its entries, its errors, and whether it is
//! the last. What an entry looks like, others know. Opens no socket.
//! Read: netlink(7), linux net/netlink/af_netlink.c `netlink_dump`.

use super::{
    WireError,
    netlink::{self, Message},
};

/// What one datagram says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The sockets or flows that it describes.
    pub entries: Vec<T>,
    /// What in it could not be decoded. The messages around it were.
    pub malformed: Vec<WireError>,
    /// The table changed during the dump (NLM_F_DUMP_INTR), so entries may be missing.
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

impl<T> Answer<T> {
    /// Reads one datagram that answers the request numbered `sequence`. Messages of type `kind` are
    /// what `decode` knows; those that answer other requests are passed over.
    pub(super) fn read(
        datagram: &[u8],
        sequence: u32,
        kind: u16,
        decode: impl Fn(&[u8]) -> Result<Option<T>, WireError>,
    ) -> Self {
        let mut answer = Self::default();
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
                Message::ERROR | Message::DONE => {
                    answer.end = Some(match message.error_number() {
                        None | Some(0) => End::Complete,
                        Some(number) => End::Refused(number),
                    });
                }
                of if of == kind => match decode(message.payload) {
                    Ok(entry) => answer.entries.extend(entry),
                    Err(error) => answer.malformed.push(error),
                },
                _ => {}
            }
        }
        answer
    }
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), malformed: Vec::new(), interrupted: false, end: None }
    }
}

#[cfg(test)]
mod tests;
