//! Owns the reading of an iterator to its end, in whole records. Knows no record's meaning.
//! Read: linux kernel/bpf/bpf_iter.c `bpf_seq_read`.

use std::os::fd::BorrowedFd;

use rustix::{buffer::spare_capacity, io::Errno};

use super::BpfError;
use crate::syscall;

/// Starts the iterator of `link` in the calling thread's namespaces and hands over what each read
/// gives: whole records of `LENGTH` bytes. Who keeps the bytes leaves another buffer in their place.
pub(super) fn read_all<const LENGTH: usize>(
    link: BorrowedFd<'_>,
    mut take: impl FnMut(&mut Vec<u8>),
) -> Result<(), BpfError> {
    let iterator = syscall::bpf::iter_create(link).map_err(|cause| BpfError::Read { cause })?;
    let mut buffer = Vec::new();
    // A record is never split as long as a read has room for all that the kernel has gathered.
    let mut begun = Vec::new();
    loop {
        buffer.clear();
        buffer.append(&mut begun);
        buffer.reserve(ROOM);
        match rustix::io::read(&iterator, spare_capacity(&mut buffer)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // The kernel pauses after many sockets that the program passes over, and goes on.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(cause) => return Err(BpfError::Read { cause }),
        }
        begun = buffer.split_off(buffer.len() - buffer.len() % LENGTH);
        if !buffer.is_empty() {
            take(&mut buffer);
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

/// One read gives what the kernel has gathered, 32 KiB at the most.
const ROOM: usize = 32 * 1024;
