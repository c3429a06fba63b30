//! Owns the blocks of pcapng that a capture is made of, as bytes. Pure, little-endian.
//! Read: draft-ietf-opsawg-pcapng, sections 3.1 (general block), 4.1, 4.2, 4.3 and 4.6.

use std::time::Duration;

/// An option of a block: its code and its value.
type Choice<'a> = (u16, &'a [u8]);

/// The section header: version 1.0, length not said, and which program writes.
pub(super) fn section(program: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend([1, 0, 0, 0]);
    body.extend(u64::MAX.to_le_bytes());
    block(SECTION, &body, &[(USER_APPLICATION, program.as_bytes())])
}

/// An interface of Ethernet with times in nanoseconds. Readers want all of one file to have one snap length.
pub(super) fn interface(name: &str, description: &str, snap_length: u32) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(ETHERNET.to_le_bytes());
    body.extend([0, 0]);
    body.extend(snap_length.to_le_bytes());
    let options = [
        (INTERFACE_NAME, name.as_bytes()),
        (INTERFACE_DESCRIPTION, description.as_bytes()),
        (TIME_RESOLUTION, &[9][..]),
    ];
    block(INTERFACE, &body, &options)
}

/// A frame, of which `kept` bytes out of `length` are kept, `since_epoch` with a comment.
pub(super) fn packet(
    interface: u32,
    since_epoch: Duration,
    kept: &[u8],
    length: usize,
    comment: &str,
) -> Vec<u8> {
    // 64 bits of nanoseconds end in 2554.
    let nanoseconds = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    let mut body = Vec::with_capacity(kept.len() + 32);
    let words =
        [interface, (nanoseconds >> 32) as u32, nanoseconds as u32, size(kept.len()), size(length)];
    body.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    body.extend(kept);
    pad(&mut body);
    block(PACKET, &body, &[(COMMENT, comment.as_bytes())])
}

/// How many frames of an interface came, and how many of them were left out of the file.
pub(super) fn statistics(
    interface: u32,
    since_epoch: Duration,
    came: u64,
    left_out: u64,
) -> Vec<u8> {
    let nanoseconds = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    let words = [interface, (nanoseconds >> 32) as u32, nanoseconds as u32];
    let body: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let options = [(RECEIVED, &came.to_le_bytes()[..]), (DROPPED, &left_out.to_le_bytes()[..])];
    block(STATISTICS, &body, &options)
}

fn block(kind: u32, body: &[u8], options: &[Choice<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 64);
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    for (code, value) in options {
        let value = value.get(..OPTION_MAX).unwrap_or(value);
        bytes.extend(code.to_le_bytes());
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(value);
        pad(&mut bytes);
    }
    // The end of the options.
    bytes.extend([0; 4]);
    let total = size(bytes.len() + 4).to_le_bytes();
    if let Some(place) = bytes.get_mut(4..8) {
        place.copy_from_slice(&total);
    }
    bytes.extend(total);
    bytes
}

/// Every part of a block begins at a multiple of four.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Longer than anything that is said here, shorter than what the field takes.
const OPTION_MAX: usize = 4096;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;

const COMMENT: u16 = 1;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const USER_APPLICATION: u16 = 4;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;
const TIME_RESOLUTION: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of a file by kind and body, as any reader walks them.
    fn walked(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let total = word(4) as usize;
            assert_eq!(total % 4, 0);
            assert_eq!(word(total - 4) as usize, total);
            blocks.push((word(0), &bytes[8..total - 4]));
            bytes = &bytes[total..];
        }
        blocks
    }

    #[test]
    fn blocks_follow_each_other_without_a_gap_whatever_the_lengths() {
        let mut file = section("x");
        file.extend(interface("in", "what came", 1518));
        for length in 0..9 {
            file.extend(packet(0, Duration::ZERO, &vec![0xab; length], 99, &"c".repeat(length)));
        }
        file.extend(statistics(0, Duration::ZERO, 9, 0));
        let kinds: Vec<_> = walked(&file).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [vec![SECTION, INTERFACE], vec![PACKET; 9], vec![STATISTICS]].concat());
    }

    #[test]
    fn a_packet_has_its_time_in_two_words_both_lengths_and_its_comment() {
        let bytes = packet(1, Duration::new(5, 7), &[0xab; 3], 2000, "dropped: why");
        let body = walked(&bytes)[0].1;
        assert_eq!(body[..4], [1, 0, 0, 0]);
        assert_eq!(u32::from_le_bytes(body[4..8].try_into().unwrap()), 1);
        assert_eq!(u32::from_le_bytes(body[8..12].try_into().unwrap()), 5_000_000_007_u64 as u32);
        assert_eq!(body[12..20], [3, 0, 0, 0, 0xd0, 7, 0, 0]);
        assert_eq!(body[20..24], [0xab, 0xab, 0xab, 0]);
        assert_eq!(body[24..28], [1, 0, 12, 0]);
        assert_eq!(&body[28..40], b"dropped: why");
    }
}
