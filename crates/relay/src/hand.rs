//! Owns what bytes are held in between taking and giving: pooled buffers and pooled pipes, borrowed
//! only while bytes are in hand. Read: pipe(7), fcntl(2) on F_SETPIPE_SZ.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// Bytes in hand of one direction.
#[derive(Debug, Default)]
pub(crate) enum Hand {
    /// None.
    #[default]
    Empty,
    /// In memory: those between `start` and `end`, which are short since every pair has room for two.
    Buffer { bytes: Box<[u8]>, start: u32, end: u32 },
    /// In the kernel.
    Pipe(Pipe),
}

/// A pipe for splicing.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) out: OwnedFd,
    pub(crate) into: OwnedFd,
    /// The most that it holds, in bytes.
    pub(crate) room: usize,
}

/// Buffers and pipes that nobody holds now. One for each worker, so that nothing is shared.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    buffers: Vec<Box<[u8]>>,
    pipes: Vec<Pipe>,
    /// Pipes made and not closed, in the pool or borrowed.
    pipes_open: usize,
}

impl Pools {
    /// Bytes that come from no pool.
    pub(crate) fn own(bytes: Vec<u8>) -> Hand {
        let end = u32::try_from(bytes.len()).unwrap_or(0);
        Hand::Buffer { start: 0, end, bytes: bytes.into_boxed_slice() }
    }

    /// A buffer of [`BUFFER`] bytes.
    pub(crate) fn buffer(&mut self) -> Box<[u8]> {
        self.buffers.pop().unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice())
    }

    /// An empty pipe; `None` if all are in use, or no descriptors are left.
    pub(crate) fn pipe(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.pipes.pop() {
            return Some(pipe);
        }
        if self.pipes_open >= PIPES_MAX {
            return None;
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Beyond pipe-user-pages-soft the kernel refuses an unprivileged user more than the default.
        let room = fcntl_setpipe_size(&into, PIPE).or_else(|_| fcntl_getpipe_size(&into)).ok()?;
        if room < PIPE_WORTH {
            return None;
        }
        self.pipes_open += 1;
        Some(Pipe { out, into, room })
    }

    /// Takes back what a hand held, once it is empty. What still has bytes in it is not used again.
    pub(crate) fn put_back(&mut self, hand: Hand, is_empty: bool) {
        match hand {
            Hand::Empty => {}
            Hand::Buffer { bytes, .. } => {
                if bytes.len() == BUFFER && self.buffers.len() < BUFFERS_KEPT {
                    self.buffers.push(bytes);
                }
            }
            Hand::Pipe(pipe) if is_empty => self.pipes.push(pipe),
            Hand::Pipe(_) => self.pipes_open = self.pipes_open.saturating_sub(1),
        }
    }
}

/// As large as a second-level cache easily holds; larger ones were not faster.
pub(crate) const BUFFER: usize = 64 * 1024;
/// The most that an unprivileged user may have (fs.pipe-max-size).
const PIPE: usize = 1024 * 1024;
/// A pipe of a page, which a user over the limit is given, moves less at a time than a buffer.
const PIPE_WORTH: usize = 64 * 1024;
/// Of each worker: two descriptors each, and 64 of a mebibyte are all that an unprivileged user gets.
pub(crate) const PIPES_MAX: usize = 64;
/// 4 MiB of each worker stay ready.
const BUFFERS_KEPT: usize = 64;
