//! Owns the bytes that the ends send each other: which byte stands at which place, so that what is
//! lost, doubled or swapped shows. Pure.

use std::sync::LazyLock;

/// A prime beside the powers of two in which buffers are cut, so that no cut repeats the pattern.
const LENGTH: usize = 65_521;

/// The pattern twice, so that a piece may begin anywhere.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let byte = |place: usize| {
        // A step of the generator of Numerical Recipes; its upper bits are random enough.
        let mixed = (place as u64 + 1).wrapping_mul(6_364_136_223_846_793_005);
        mixed.to_be_bytes().first().copied().unwrap_or_default()
    };
    (0..LENGTH).map(byte).cycle().take(2 * LENGTH).collect()
});

/// The bytes of the stream from `place` on, at most `most` and never more than [`LENGTH`].
pub(crate) fn from(place: u64, most: u64) -> &'static [u8] {
    let start = usize::try_from(place % LENGTH as u64).unwrap_or_default();
    let length = usize::try_from(most).unwrap_or(LENGTH).min(LENGTH);
    BLOCK.get(start..start + length).unwrap_or_default()
}

/// The first place where `bytes`, which stand at `place` in the stream, are not what was sent.
pub(crate) fn first_wrong(place: u64, bytes: &[u8]) -> Option<u64> {
    let mut at = place;
    for piece in bytes.chunks(LENGTH) {
        let sent = from(at, piece.len() as u64);
        if sent != piece {
            let wrong = sent.iter().zip(piece).position(|(sent, got)| sent != got);
            return Some(at + wrong.unwrap_or_default() as u64);
        }
        at += piece.len() as u64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_right_and_one_byte_less_is_wrong() {
        let sent = [from(7, 100_000), from(7 + LENGTH as u64, 100)].concat();
        assert_eq!(sent.len(), LENGTH + 100);
        assert_eq!(first_wrong(7, &sent), None);
        let mut lost = sent;
        lost.remove(70);
        assert!(first_wrong(7, &lost).is_some_and(|at| (77..80).contains(&at)));
    }
}
