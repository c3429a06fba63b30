//! Owns the reading of an iterator to its end, in whole records. Knows no record's meaning.
//! Read: linux kernel/bpf/bpf_iter.c `bpf_seq_read`.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::{buffer::spare_capacity, io::Errno};

use super::BpfError;
use crate::syscall;

/// Starts the iterator of `link` in the calling thread's namespaces and hands over what it gives, many
/// records of `LENGTH` bytes at a time, all of them whole. Who keeps the bytes leaves another buffer in
/// their place.
pub(super) fn read_all<const LENGTH: usize>(
    link: BorrowedFd<'_>,
    mut take: impl FnMut(&mut Vec<u8>),
) -> Result<(), BpfError> {
    let iterator = syscall::bpf::iter_create(link).map_err(|cause| BpfError::Read { cause })?;
    let mut buffer = Vec::new();
    let mut outcome = Ok(1);
    while let Ok(1..) = outcome {
        buffer.reserve_exact(BUFFER.saturating_sub(buffer.len()).max(GATHERED));
        while buffer.capacity() - buffer.len() >= GATHERED && matches!(outcome, Ok(1..)) {
            outcome = read(&iterator, &mut buffer);
        }
        // A record is never split as long as a read has room for all that the kernel has gathered.
        let mut begun = buffer.split_off(buffer.len() - buffer.len() % LENGTH);
        if !buffer.is_empty() {
            take(&mut buffer);
        }
        buffer.clear();
        buffer.append(&mut begun);
    }
    outcome.map(drop)
}

/// Adds what the kernel gives to `buffer`; tells how much that is, and 0 at the end.
fn read(iterator: &OwnedFd, buffer: &mut Vec<u8>) -> Result<usize, BpfError> {
    loop {
        match rustix::io::read(iterator, spare_capacity(buffer)) {
            // The kernel pauses after many sockets that the program passes over, and goes on.
            Err(Errno::AGAIN | Errno::INTR) => {}
            read => return read.map_err(|cause| BpfError::Read { cause }),
        }
    }
}

/// [`read_all`], record by record.
pub(super) fn read_each<const LENGTH: usize>(
    link: BorrowedFd<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), BpfError> {
    read_all::<LENGTH>(link, |records| records.chunks_exact(LENGTH).for_each(&mut take))
}

/// One read gives what the kernel has gathered, this much at the most.
const GATHERED: usize = 32 * 1024;

/// So much is handed over at a time: some milliseconds of reading.
const BUFFER: usize = 1 << 20;
