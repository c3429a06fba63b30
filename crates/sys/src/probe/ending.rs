//! Owns what a descriptor tells of a connection that is in no table any more: that it is CLOSED, and
//! whether an error is waiting for the application, which stays where it is: SO_ERROR is not read.
//! Read: linux net/ipv4/tcp.c `tcp_poll`, `tcp_done`.

use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Prober, Target};
use crate::syscall;

/// How a connection has ended, by its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has not: the descriptor is of a connection that lives.
    Lives,
    /// CLOSED, and the application has yet to be told an error: a reset or a time-out.
    WithError,
    /// CLOSED, and no error waits: it ended in good order, or the application has fetched the error.
    Told,
    /// There is no descriptor of it any more: its application has closed it.
    NoDescriptor,
}

impl Prober {
    /// How the connection has ended.
    pub fn ending(&mut self, target: &Target) -> Ending {
        let Ok(duplicate) = self.duplicate(target) else { return Ending::NoDescriptor };
        let info = syscall::socket_option(duplicate.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO);
        // The first byte of struct tcp_info.
        let Ok([state, ..]) = info.map(libc::c_int::to_ne_bytes) else {
            return Ending::NoDescriptor;
        };
        if state != TCP_CLOSE {
            return Ending::Lives;
        }
        let mut polled = [PollFd::new(&duplicate, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut polled, Some(&at_once)) {
            Ok(_) if polled.iter().any(|one| one.revents().contains(PollFlags::ERR)) => {
                Ending::WithError
            }
            _ => Ending::Told,
        }
    }
}

/// TCP_CLOSE of include/net/tcp_states.h.
const TCP_CLOSE: u8 = 7;
