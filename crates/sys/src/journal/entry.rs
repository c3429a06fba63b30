//! Owns one entry of the journal: a connection, the way to it, and what its options were; as a line
//! of text and back. Knows what the probes set, so that only that is undone. Read: tcp(7), socket(7).

use std::{fmt, io, os::fd::BorrowedFd, str::FromStr};

use halfopen_core::ConnectionId;
use rustix::net::sockopt;

use crate::syscall;

/// What is to be put back on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ConnectionId,
    /// The process that holds it, and its number there.
    pub(crate) pid: u32,
    pub(crate) fd: u32,
    pub(crate) inode: Option<u64>,
    pub(crate) was: Was,
}

/// What the options were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Was {
    /// SO_REUSEADDR was on or off; the window probe turns it off.
    ReuseAddress(bool),
    /// What the keepalive one-shot changes.
    Keepalive(Keepalive),
}

/// The options that the keepalive one-shot changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keepalive {
    /// SO_KEEPALIVE.
    pub(crate) on: bool,
    /// TCP_KEEPIDLE in seconds.
    pub(crate) idle: i32,
    /// TCP_KEEPCNT.
    pub(crate) count: i32,
    /// TCP_USER_TIMEOUT in milliseconds; 0 is none.
    pub(crate) user_timeout: i32,
}

impl Keepalive {
    /// What the one-shot sets. The kernel ends a connection when as many probes are unanswered as
    /// TCP_KEEPCNT says, and sooner with TCP_USER_TIMEOUT; unanswered one-shots count. So the one is
    /// as high as it can be (MAX_TCP_KEEPCNT) for the moment, and the other is off. `keep` knows these
    /// values, too (`KeepOptions::is_a_shot` of halfopen-core).
    pub(crate) const SHOT: Self = Self { on: true, idle: 1, count: 127, user_timeout: 0 };

    pub(crate) fn read(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let tcp = |name| syscall::socket_option(socket, libc::IPPROTO_TCP, name);
        Ok(Self {
            on: sockopt::socket_keepalive(socket)?,
            idle: tcp(libc::TCP_KEEPIDLE)?,
            count: tcp(libc::TCP_KEEPCNT)?,
            user_timeout: tcp(libc::TCP_USER_TIMEOUT)?,
        })
    }

    /// These are a shot's own, and not the application's: somebody else's is under way.
    pub(crate) fn is_shot(self) -> bool {
        self == Self::SHOT
    }

    /// Sets what differs from `now`, in the order that fits a shot: the last one is sent by.
    pub(crate) fn shoot(self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let set = |name, value| syscall::set_socket_option(socket, libc::IPPROTO_TCP, name, value);
        let Self { on, idle, count, user_timeout } = Self::SHOT;
        set(libc::TCP_KEEPCNT, count)?;
        if self.user_timeout != user_timeout {
            set(libc::TCP_USER_TIMEOUT, user_timeout)?;
        }
        // TCP_KEEPIDLE after SO_KEEPALIVE arms the timer for now; the other way round it would be
        // armed for a second later.
        sockopt::set_socket_keepalive(socket, on)?;
        set(libc::TCP_KEEPIDLE, idle)
    }

    /// Gives back every option that still has the shot's value. Says whether there was one to give back.
    fn put_back(self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let set = |name, value| syscall::set_socket_option(socket, libc::IPPROTO_TCP, name, value);
        let (now, shot) = (Self::read(socket)?, Self::SHOT);
        let mut changed = false;
        // First, so that no timer of ours can fire any more.
        if now.on == shot.on && self.on != shot.on {
            sockopt::set_socket_keepalive(socket, self.on)?;
            changed = true;
        }
        let numbers = [
            (libc::TCP_KEEPIDLE, now.idle, shot.idle, self.idle),
            (libc::TCP_KEEPCNT, now.count, shot.count, self.count),
            (libc::TCP_USER_TIMEOUT, now.user_timeout, shot.user_timeout, self.user_timeout),
        ];
        for (name, now, shot, was) in numbers {
            if now == shot && was != shot {
                set(name, was)?;
                changed = true;
            }
        }
        Ok(changed)
    }
}

impl Was {
    /// Gives back what still has the value that the probe gave it. Says whether there was anything.
    pub(crate) fn put_back(self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        match self {
            Self::ReuseAddress(was) if !was || sockopt::socket_reuseaddr(socket)? => Ok(false),
            Self::ReuseAddress(_) => {
                sockopt::set_socket_reuseaddr(socket, true)?;
                Ok(true)
            }
            Self::Keepalive(keepalive) => keepalive.put_back(socket),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, pid, fd, inode, was } = self;
        write!(f, "{id} {pid} {fd} {} ", inode.unwrap_or(0))?;
        match was {
            Was::ReuseAddress(true) => f.write_str("reuse-address"),
            Was::ReuseAddress(false) => f.write_str("no-reuse-address"),
            Was::Keepalive(Keepalive { on, idle, count, user_timeout }) => {
                write!(f, "keepalive {} {idle} {count} {user_timeout}", u8::from(*on))
            }
        }
    }
}

impl FromStr for Entry {
    type Err = NotAnEntry;

    fn from_str(line: &str) -> Result<Self, NotAnEntry> {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().ok_or(NotAnEntry);
        let id = word()?.parse().map_err(|_| NotAnEntry)?;
        let pid = number(word()?)?;
        let fd = number(word()?)?;
        let inode = Some(number(word()?)?).filter(|inode| *inode != 0);
        let was = match word()? {
            "reuse-address" => Was::ReuseAddress(true),
            "no-reuse-address" => Was::ReuseAddress(false),
            "keepalive" => Was::Keepalive(Keepalive {
                on: number::<u8>(word()?)? == 1,
                idle: number(word()?)?,
                count: number(word()?)?,
                user_timeout: number(word()?)?,
            }),
            _ => return Err(NotAnEntry),
        };
        Ok(Self { id, pid, fd, inode, was })
    }
}

/// A line that is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnEntry;

fn number<T: FromStr>(word: &str) -> Result<T, NotAnEntry> {
    word.parse().map_err(|_| NotAnEntry)
}
