//! Owns the advice on how the kernel should back memory. Read: madvise(2).

use std::mem::MaybeUninit;

/// Asks for huge pages behind `room`. Advice only: where the kernel has none, small pages do.
pub(crate) fn advise_huge_pages<T>(room: &mut [MaybeUninit<T>]) {
    /// A multiple of every page size that Linux runs with.
    const PAGE: usize = 64 * 1024;
    let bytes = room.as_mut_ptr_range();
    let first = bytes.start.addr().next_multiple_of(PAGE);
    let length = bytes.end.addr().saturating_sub(first) / PAGE * PAGE;
    if length == 0 {
        return;
    }
    let begin = bytes.start.with_addr(first);
    // SAFETY: the pages lie wholly within `room`, which is borrowed; MADV_HUGEPAGE changes neither
    // what they hold nor how they are mapped.
    // What the kernel answers makes no difference to anybody.
    let _ = unsafe { libc::madvise(begin.cast(), length, libc::MADV_HUGEPAGE) };
}
