//! Owns the reading of an iterator to its end, record by record. Knows no record's meaning.
//! Read: linux kernel/bpf/bpf_iter.c `bpf_seq_read`.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::BpfError;
use crate::syscall;

/// Starts the iterator of `link` in the calling thread's namespaces and hands every record of
/// `LENGTH` bytes to `take`.
pub(super) fn read_each<const LENGTH: usize>(
    link: BorrowedFd<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), BpfError> {
    let iterator = syscall::bpf::iter_create(link).map_err(|cause| BpfError::Read { cause })?;
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        match rustix::io::read(&iterator, room) {
            Ok(0) => return Ok(()),
            Ok(count) => filled = (filled + count).min(BUFFER),
            // The kernel pauses after many sockets that the program passes over, and goes on.
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(cause) => return Err(BpfError::Read { cause }),
        }
        let whole = filled - filled % LENGTH;
        buffer.get(..whole).unwrap_or_default().chunks_exact(LENGTH).for_each(&mut take);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

/// One read gives what the kernel has gathered, 32 KiB at the most.
const BUFFER: usize = 64 * 1024;
