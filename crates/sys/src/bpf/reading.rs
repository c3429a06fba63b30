//! Owns the reading of an iterator to its end, record by record. Knows no record's meaning.
//! Read: linux kernel/bpf/bpf_iter.c `bpf_seq_read`.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    sync::mpsc::{channel, sync_channel},
    thread,
};

use rustix::io::Errno;

use super::BpfError;
use crate::syscall;

/// Starts the iterator of `link` in the calling thread's namespaces and hands every record of
/// `LENGTH` bytes to `take`, while another thread waits for the kernel to write the next ones.
pub(super) fn read_each<const LENGTH: usize>(
    link: BorrowedFd<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<(), BpfError> {
    let iterator = syscall::bpf::iter_create(link).map_err(|cause| BpfError::Read { cause })?;
    let mut rest = Vec::new();
    let mut take_all = |bytes: &[u8]| {
        // A record is never split as long as a read has room for all that the kernel has gathered.
        if rest.is_empty() && bytes.len().is_multiple_of(LENGTH) {
            return bytes.chunks_exact(LENGTH).for_each(&mut take);
        }
        rest.extend_from_slice(bytes);
        let whole = rest.len() - rest.len() % LENGTH;
        rest.drain(..whole).as_slice().chunks_exact(LENGTH).for_each(&mut take);
    };
    thread::scope(|scope| {
        let (sender, full) = sync_channel(AHEAD);
        let (give_back, empty) = channel();
        let iterator = &iterator;
        let read_on = move || loop {
            let mut buffer = empty.try_recv().unwrap_or_else(|_| vec![0; BUFFER]);
            let count = read(iterator, &mut buffer);
            let is_last = !matches!(count, Ok(1..));
            if sender.send(count.map(|count| (buffer, count))).is_err() || is_last {
                return;
            }
        };
        if thread::Builder::new().spawn_scoped(scope, read_on).is_err() {
            let mut buffer = vec![0; BUFFER];
            return loop {
                match read(iterator, &mut buffer)? {
                    0 => break Ok(()),
                    count => take_all(buffer.get(..count).unwrap_or_default()),
                }
            };
        }
        for read in full {
            let (buffer, count) = read?;
            take_all(buffer.get(..count).unwrap_or_default());
            // The reader may have ended.
            let _ = give_back.send(buffer);
        }
        Ok(())
    })
}

fn read(iterator: &OwnedFd, buffer: &mut [u8]) -> Result<usize, BpfError> {
    loop {
        match rustix::io::read(iterator, &mut *buffer) {
            Ok(count) => return Ok(count),
            // The kernel pauses after many sockets that the program passes over, and goes on.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(cause) => return Err(BpfError::Read { cause }),
        }
    }
}

/// One read gives what the kernel has gathered, 32 KiB at the most.
const BUFFER: usize = 64 * 1024;

/// So many buffers may wait to be taken; a reader that is further ahead waits itself.
const AHEAD: usize = 16;
