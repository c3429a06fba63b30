//! Owns the advice on memory. Read: madvise(2).

use std::mem::MaybeUninit;

/// Gives back the memory in which `room` lies, as long as nothing is put there: MADV_DONTNEED.
pub(crate) fn give_back<T>(room: &mut [MaybeUninit<T>]) {
    // Only whole pages can be given back.
    let bytes = room.as_mut_ptr().cast::<u8>();
    let before = bytes.align_offset(PAGE).min(size_of_val(room));
    let length = (size_of_val(room) - before) / PAGE * PAGE;
    if length > 0 {
        // SAFETY: the range lies within `room`, which is borrowed mutably and may hold anything, also the
        // zeros that MADV_DONTNEED leaves; all of it stays mapped.
        let _ = unsafe { libc::madvise(bytes.add(before).cast(), length, libc::MADV_DONTNEED) };
    }
}

/// No page is smaller, and the kernel refuses what is no multiple of its own.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_the_room_stays_as_it_is() {
        for length in [0, 1, PAGE, 3 * PAGE + 17, 64 * PAGE] {
            let mut bytes = vec![7_u8; length];
            bytes.reserve_exact(9 * PAGE);
            give_back(bytes.spare_capacity_mut());
            assert!(bytes.iter().all(|byte| *byte == 7));
            bytes.resize(length + 9 * PAGE, 8);
            assert!(bytes.iter().skip(length).all(|byte| *byte == 8));
        }
    }
}
