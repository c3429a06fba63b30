//! Owns what bytes are held in between taking and giving: pooled buffers and pooled pipes, borrowed
//! only while bytes are in hand. Read: pipe(7), fcntl(2) on F_SETPIPE_SZ.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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

/// How many buffers there may be in all workers together, and how many there are.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: AtomicUsize,
    made: AtomicUsize,
    workers: usize,
}

impl Allowance {
    pub(crate) const fn new(most: usize, workers: usize) -> Self {
        Self { most: AtomicUsize::new(most), made: AtomicUsize::new(0), workers }
    }

    /// How many a worker keeps that nobody uses: what all of them keep is a quarter at most, so that none
    /// is without while the others have them in store.
    fn kept(&self) -> usize {
        (self.most() / 4 / self.workers.max(1)).min(BUFFERS_KEPT)
    }

    /// From now on there may be so many; those that are there stay until they are not needed.
    pub(crate) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let more = |made: usize| (made < most).then_some(made + 1);
        self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self) {
        self.made.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

/// Buffers and pipes that nobody holds now. One for each worker, so that nothing but the allowance is shared.
#[derive(Debug)]
pub(crate) struct Pools {
    allowance: Arc<Allowance>,
    buffers: Vec<Box<[u8]>>,
    pipes: Vec<Pipe>,
    /// Pipes made and not closed, in the pool or borrowed.
    pipes_open: usize,
}

impl Pools {
    pub(crate) const fn new(allowance: Arc<Allowance>) -> Self {
        Self { allowance, buffers: Vec::new(), pipes: Vec::new(), pipes_open: 0 }
    }

    /// Whether the next one who needs a buffer gets a whole one.
    pub(crate) fn has_buffer(&self) -> bool {
        !self.buffers.is_empty() || self.allowance.made() < self.allowance.most()
    }

    /// Bytes that come from no pool.
    pub(crate) fn own(bytes: Vec<u8>) -> Hand {
        let end = u32::try_from(bytes.len()).unwrap_or(0);
        Hand::Buffer { start: 0, end, bytes: bytes.into_boxed_slice() }
    }

    /// A buffer of [`BUFFER`] bytes; of [`SMALL`] if there are as many as there may be, so that whoever is
    /// connected already goes on.
    pub(crate) fn buffer(&mut self) -> Box<[u8]> {
        self.buffers.pop().unwrap_or_else(|| {
            let length = if self.allowance.take() { BUFFER } else { SMALL };
            vec![0; length].into_boxed_slice()
        })
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
            Hand::Buffer { bytes, .. } if bytes.len() == BUFFER => {
                if self.buffers.len() < self.allowance.kept() {
                    self.buffers.push(bytes);
                } else {
                    self.allowance.give_back();
                }
            }
            Hand::Buffer { .. } => {}
            Hand::Pipe(pipe) if is_empty => self.pipes.push(pipe),
            Hand::Pipe(_) => self.pipes_open = self.pipes_open.saturating_sub(1),
        }
    }
}

/// As large as a second-level cache easily holds; larger ones were not faster.
pub(crate) const BUFFER: usize = 64 * 1024;
/// A page, which is what a small message needs anyway.
pub(crate) const SMALL: usize = 4 * 1024;
/// The most that an unprivileged user may have (fs.pipe-max-size).
const PIPE: usize = 1024 * 1024;
/// A pipe of a page, which a user over the limit is given, moves less at a time than a buffer.
const PIPE_WORTH: usize = 64 * 1024;
/// Of each worker: two descriptors each, and 64 of a mebibyte are all that an unprivileged user gets.
pub(crate) const PIPES_MAX: usize = 64;
/// 4 MiB of each worker stay ready.
const BUFFERS_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// One that is whole again is put back by whom it was borrowed from.
    fn put_back(pools: &mut Pools, bytes: Box<[u8]>) {
        pools.put_back(Hand::Buffer { bytes, start: 0, end: 0 }, true);
    }

    #[test]
    fn beyond_the_allowance_buffers_are_small_until_one_is_let_go() {
        let allowance = Arc::new(Allowance::new(1, 2));
        let mut one = Pools::new(Arc::clone(&allowance));
        let mut other = Pools::new(Arc::clone(&allowance));
        let whole = one.buffer();
        assert_eq!((whole.len(), other.has_buffer()), (BUFFER, false));
        let small = other.buffer();
        assert_eq!(small.len(), SMALL);
        put_back(&mut other, small);
        assert!(!other.has_buffer());
        put_back(&mut one, whole);
        assert_eq!((other.has_buffer(), allowance.made()), (true, 0), "nobody keeps the only one");
        allowance.set_most(0);
        assert!(!other.has_buffer());
    }

    #[test]
    fn what_workers_keep_for_later_is_a_quarter_of_what_there_may_be() {
        let allowance = Arc::new(Allowance::new(80, 2));
        let mut pools = Pools::new(Arc::clone(&allowance));
        let all: Vec<_> = (0..80).map(|_| pools.buffer()).collect();
        assert_eq!((allowance.made(), pools.has_buffer()), (80, false));
        all.into_iter().for_each(|bytes| put_back(&mut pools, bytes));
        assert_eq!(allowance.made(), 10);
    }
}
