//! Owns how a worker is told something while it waits in epoll. Read: eventfd(2).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::event::{EventfdFlags, eventfd};

use crate::route::Listener;

/// What a worker is told.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Listen on these and no others.
    Listen(Vec<Arc<Listener>>),
    /// Nothing: who takes it is alive.
    Beat,
    /// Accept nothing more; end when the last pair has ended.
    Drain,
    /// End all pairs with RST.
    Stop,
}

/// Commands on their way to one worker.
#[derive(Debug)]
pub(crate) struct Mailbox {
    bell: OwnedFd,
    commands: Mutex<Vec<Command>>,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { bell, commands: Mutex::new(Vec::new()) })
    }

    pub(crate) fn put(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        // It fails only if the bell has been rung 2^64 - 2 times and rings still.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Whether everything that was put here was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn take(&self) -> Vec<Command> {
        // Nothing to read means that a command was taken with an earlier one.
        let _ = rustix::io::read(&self.bell, &mut [0u8; 8][..]);
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
