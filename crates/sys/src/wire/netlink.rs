//! Owns the framing of netlink: messages in a datagram, attributes in a message.
//! Opens no socket. Read: netlink(7), uapi/linux/netlink.h, linux net/netlink/af_netlink.c.

use super::{WireError, int_at};

/// One netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: repeats that of the request.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// NLMSG_ERROR: the answer to a request that failed, or an acknowledgement.
    pub const ERROR: u16 = 2;
    /// NLMSG_DONE: the end of a dump.
    pub const DONE: u16 = 3;
    /// NLM_F_DUMP_INTR: the table changed while it was dumped, so the dump may lack entries.
    pub const DUMP_INTERRUPTED: u16 = 0x10;

    /// The error number that an ERROR or DONE message carries, positive; 0 is success. `None` for
    /// a message that carries none (a DONE message of older kernels is empty).
    pub fn error_number(&self) -> Option<i32> {
        if !matches!(self.kind, Self::ERROR | Self::DONE) {
            return None;
        }
        int_at!(i32, self.payload, 0).map(i32::saturating_neg)
    }
}

/// The messages of one datagram. Framing that makes no sense ends the walk with its error.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, WireError>> {
    Records { bytes: datagram, offset: 0, layout: MESSAGE }.map(|record| {
        let (header, payload) = record?;
        Ok(Message {
            kind: int_at!(u16, header, 4).unwrap_or_default(),
            flags: int_at!(u16, header, 6).unwrap_or_default(),
            sequence: int_at!(u32, header, 8).unwrap_or_default(),
            payload,
        })
    })
}

/// One attribute of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// `nla_type` without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
    pub kind: u16,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The attributes of one message. Framing that makes no sense ends the walk with its error.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, WireError>> {
    Records { bytes, offset: 0, layout: ATTRIBUTE }.map(|record| {
        let (header, payload) = record?;
        let kind = int_at!(u16, header, 2).unwrap_or_default() & NLA_TYPE_MASK;
        Ok(Attribute { kind, payload })
    })
}

/// A whole request: header and `body`, which must be shorter than 4 GiB.
pub fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(MESSAGE.header + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(MESSAGE.header + body.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // The port id 0 is the kernel's.
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// NLM_F_REQUEST.
const NLM_F_REQUEST: u16 = 1;
/// NLA_TYPE_MASK.
const NLA_TYPE_MASK: u16 = 0x3fff;

const MESSAGE: Layout = Layout { what: "a netlink message", header: 16, wide_length: true };
const ATTRIBUTE: Layout = Layout { what: "a netlink attribute", header: 4, wide_length: false };

/// Messages and attributes are framed alike: a header that starts with the length of header and
/// payload, then padding to four bytes (NLMSG_ALIGN, NLA_ALIGN).
#[derive(Clone, Copy)]
struct Layout {
    what: &'static str,
    header: usize,
    /// The length field has 32 bits, not 16.
    wide_length: bool,
}

struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
    layout: Layout,
}

impl<'a> Records<'a> {
    fn read(&self, rest: &'a [u8]) -> Result<(&'a [u8], &'a [u8], usize), WireError> {
        let Layout { what, header, wide_length } = self.layout;
        let offset = self.offset;
        let short = WireError::Short { what, offset, expected: header, got: rest.len() };
        if rest.len() < header {
            return Err(short);
        }
        let length = if wide_length {
            int_at!(u32, rest, 0).and_then(|length| usize::try_from(length).ok())
        } else {
            int_at!(u16, rest, 0).map(usize::from)
        };
        let got = length.ok_or(short)?;
        let framed = rest.get(..got).and_then(|record| record.split_at_checked(header));
        let (head, payload) = framed.ok_or(WireError::Length {
            what,
            offset,
            least: header,
            most: rest.len(),
            got,
        })?;
        Ok((head, payload, got.next_multiple_of(4)))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        match self.read(rest) {
            Ok((head, payload, step)) => {
                self.offset += step;
                Some(Ok((head, payload)))
            }
            Err(error) => {
                self.offset = self.bytes.len();
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + payload.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn two_messages_in_a_datagram_are_told_apart() {
        let datagram = [request(20, 0x300, 7, b"12345678"), request(3, 2, 8, &[0; 4])].concat();
        let found: Vec<_> = messages(&datagram).map(Result::unwrap).collect();
        assert_eq!(found[0], Message { kind: 20, flags: 0x301, sequence: 7, payload: b"12345678" });
        assert_eq!((found[1].kind, found[1].error_number()), (Message::DONE, Some(0)));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn an_error_message_gives_its_number_as_errno_has_it() {
        let datagram = request(Message::ERROR, 0, 1, &(-2_i32).to_ne_bytes());
        let message = messages(&datagram).next().unwrap().unwrap();
        assert_eq!(message.error_number(), Some(2));
        let empty = Message { payload: &[], ..message };
        assert_eq!(empty.error_number(), None);
    }

    #[test]
    fn a_message_longer_than_its_datagram_is_an_error_after_those_before_it() {
        let mut datagram = [request(20, 0, 1, b"abcd"), request(20, 0, 1, b"efgh")].concat();
        datagram.truncate(38);
        let found: Vec<_> = messages(&datagram).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].is_ok());
        let what = "a netlink message";
        let error = WireError::Length { what, offset: 20, least: 16, most: 18, got: 20 };
        assert_eq!(found[1], Err(error));
    }

    #[test]
    fn a_length_below_the_header_ends_the_walk_instead_of_looping() {
        let found: Vec<_> = attributes(&[0; 64]).collect();
        assert!(matches!(found[..], [Err(WireError::Length { got: 0, .. })]));
    }

    #[test]
    fn padding_may_be_missing_after_the_last_attribute() {
        let mut bytes = [attribute(8, &[1]), attribute(2, b"abcde")].concat();
        bytes.truncate(17);
        let found: Vec<_> = attributes(&bytes).map(Result::unwrap).collect();
        assert_eq!(found[1], Attribute { kind: 2, payload: b"abcde" });
    }

    proptest! {
        #[test]
        fn attributes_read_back_as_they_were_written(
            written in prop::collection::vec(
                (0..=NLA_TYPE_MASK, prop::collection::vec(any::<u8>(), 0..40)), 0..8)
        ) {
            let bytes: Vec<u8> =
                written.iter().flat_map(|(kind, payload)| attribute(*kind, payload)).collect();
            let read: Vec<_> = attributes(&bytes)
                .map(|found| found.map(|found| (found.kind, found.payload.to_vec())).unwrap())
                .collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn arbitrary_bytes_end_the_walk_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            prop_assert!(messages(&bytes).count() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
