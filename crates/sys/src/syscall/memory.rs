//! Owns the advice on memory. Read: madvise(2), linux Documentation/admin-guide/mm/transhuge.rst.

use std::{ffi::c_int, mem::MaybeUninit};

/// Asks for large pages where the memory of `room` is taken for the first time: MADV_HUGEPAGE. The
/// kernel may do otherwise.
pub(crate) fn prefer_large_pages<T>(room: &mut [MaybeUninit<T>]) {
    advise(room, libc::MADV_HUGEPAGE);
}

/// Gives back the memory in which `room` lies, as long as nothing is put there: MADV_DONTNEED.
pub(crate) fn give_back<T>(room: &mut [MaybeUninit<T>]) {
    advise(room, libc::MADV_DONTNEED);
}

/// Advice on the whole pages of `room`, which may be refused.
fn advise<T>(room: &mut [MaybeUninit<T>], advice: c_int) {
    let bytes = room.as_mut_ptr().cast::<u8>();
    let before = bytes.align_offset(PAGE).min(size_of_val(room));
    let length = (size_of_val(room) - before) / PAGE * PAGE;
    if length > 0 {
        // SAFETY: the range lies within `room`, which is borrowed mutably and may hold anything, also the
        // zeros that MADV_DONTNEED leaves; all of it stays mapped.
        let _ = unsafe { libc::madvise(bytes.add(before).cast(), length, advice) };
    }
}

/// No page is smaller, and the kernel refuses what is no multiple of its own.
const PAGE: usize = 4096;
