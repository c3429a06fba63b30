//! Owns the blocks of pcapng that a capture is made of, as bytes. Pure, little-endian.
//! Read: draft-ietf-opsawg-pcapng, sections 3.1 (general block), 4.1, 4.2, 4.3 and 4.6.

use std::time::Duration;

/// An option of a block: its code and its value, which is shorter than 64 KiB.
type Choice<'a> = (u16, &'a [u8]);

/// The section header: version 1.0, length not said, and which program writes.
pub(super) fn section(file: &mut Vec<u8>, program: &str) {
    let words = [0x1a2b_3c4d, 1, u32::MAX, u32::MAX];
    block(file, SECTION, &words, &[], &[(USER_APPLICATION, program.as_bytes())]);
}

/// An interface of Ethernet with times in nanoseconds. Readers want all of one file to have one snap length.
pub(super) fn interface(file: &mut Vec<u8>, name: &str, description: &str, snap_length: u32) {
    let options = [
        (INTERFACE_NAME, name.as_bytes()),
        (INTERFACE_DESCRIPTION, description.as_bytes()),
        (TIME_RESOLUTION, &[9][..]),
    ];
    block(file, INTERFACE, &[ETHERNET, snap_length], &[], &options);
}

/// A frame, of which `kept` bytes out of `length` are kept, `since_epoch` with a comment.
pub(super) fn packet(
    file: &mut Vec<u8>,
    interface: u32,
    since_epoch: Duration,
    kept: &[u8],
    length: usize,
    comment: &str,
) {
    let [high, low] = nanoseconds(since_epoch);
    let words = [interface, high, low, size(kept.len()), size(length)];
    block(file, PACKET, &words, kept, &[(COMMENT, comment.as_bytes())]);
}

/// How many frames of an interface came, and how many of them were left out of the file.
pub(super) fn statistics(
    file: &mut Vec<u8>,
    interface: u32,
    since_epoch: Duration,
    came: u64,
    left_out: u64,
) {
    let [high, low] = nanoseconds(since_epoch);
    let options = [(RECEIVED, &came.to_le_bytes()[..]), (DROPPED, &left_out.to_le_bytes()[..])];
    block(file, STATISTICS, &[interface, high, low], &[], &options);
}

/// The upper and the lower word: 64 bits of nanoseconds end in 2554.
fn nanoseconds(since_epoch: Duration) -> [u32; 2] {
    let nanoseconds = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    [(nanoseconds >> 32) as u32, nanoseconds as u32]
}

/// Appends a block: its length stands at both its ends.
fn block(file: &mut Vec<u8>, kind: u32, words: &[u32], payload: &[u8], options: &[Choice<'_>]) {
    let values: usize = options.iter().map(|(_, value)| OPTION + padded(value.len())).sum();
    let total = FRAMING + words.len() * 4 + padded(payload.len()) + values + OPTION;
    let total = size(total);
    file.extend(kind.to_le_bytes());
    file.extend(total.to_le_bytes());
    file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    fill(file, payload);
    for (code, value) in options {
        file.extend(code.to_le_bytes());
        file.extend((value.len() as u16).to_le_bytes());
        fill(file, value);
    }
    // The end of the options.
    file.extend([0; OPTION]);
    file.extend(total.to_le_bytes());
}

/// Appends bytes, and zeros up to a multiple of four.
fn fill(file: &mut Vec<u8>, bytes: &[u8]) {
    file.extend(bytes);
    file.resize(file.len() + padded(bytes.len()) - bytes.len(), 0);
}

const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Kind, and the length twice.
const FRAMING: usize = 12;

/// Code and length of an option.
const OPTION: usize = 4;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// LINKTYPE_ETHERNET, with the reserved half-word behind it.
const ETHERNET: u32 = 1;

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
        let mut file = Vec::new();
        section(&mut file, "x");
        interface(&mut file, "in", "what came", 1518);
        for length in 0..9 {
            let (kept, comment) = (vec![0xab; length], "c".repeat(length));
            packet(&mut file, 0, Duration::ZERO, &kept, 99, &comment);
        }
        statistics(&mut file, 0, Duration::ZERO, 9, 0);
        let kinds: Vec<_> = walked(&file).iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [vec![SECTION, INTERFACE], vec![PACKET; 9], vec![STATISTICS]].concat());
    }

    #[test]
    fn a_packet_has_its_time_in_two_words_both_lengths_and_its_comment() {
        let mut bytes = Vec::new();
        packet(&mut bytes, 1, Duration::new(5, 7), &[0xab; 3], 2000, "dropped: why");
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
