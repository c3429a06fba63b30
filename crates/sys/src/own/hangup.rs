//! Owns how an end of the peer is seen without reading: neither data nor the pending error is taken.
//! Read: epoll_ctl(2) on EPOLLRDHUP, linux net/ipv4/tcp.c `tcp_poll`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, epoll, poll},
};

/// How the peer's direction, or all of the connection, has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hangup {
    /// The peer sent FIN: it sends nothing more. Whether it still reads cannot be told: close(2) and
    /// shutdown(2) look alike until something is written to it.
    Finished,
    /// The connection is over: reset, given up by the kernel, or ended in both directions.
    Broken,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Until {
    /// FIN, or the end of the connection.
    Finished,
    /// The end of the connection; a half-closed one is not at its end.
    Broken,
}

/// Whether the peer has hung up, or does so `within` this time; `None`: it has not.
///
/// # Errors
/// What poll(2) answers.
pub fn hangup(socket: BorrowedFd<'_>, within: Duration) -> io::Result<Option<Hangup>> {
    let mut polled = [PollFd::new(&socket, PollFlags::RDHUP)];
    let timeout = Timespec {
        tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: within.subsec_nanos().into(),
    };
    poll(&mut polled, Some(&timeout))?;
    let found = polled.iter().map(PollFd::revents).fold(PollFlags::empty(), PollFlags::union);
    Ok(if found.intersects(PollFlags::ERR | PollFlags::HUP) {
        Some(Hangup::Broken)
    } else {
        found.contains(PollFlags::RDHUP).then_some(Hangup::Finished)
    })
}

/// An epoll instance that is readable exactly when a socket has hung up, and never because of data:
/// so whoever waits for it does not wake for traffic. It does not keep the socket open; if that is
/// closed, nothing ever comes.
#[derive(Debug)]
pub struct HangupWatch(OwnedFd);

impl HangupWatch {
    /// Watches `socket`. Takes one descriptor.
    ///
    /// # Errors
    /// What epoll_create1(2) and epoll_ctl(2) answer, EMFILE among it.
    pub fn new(socket: BorrowedFd<'_>, until: Until) -> io::Result<Self> {
        let instance = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = match until {
            Until::Finished => epoll::EventFlags::RDHUP,
            // EPOLLERR and EPOLLHUP are always reported.
            Until::Broken => epoll::EventFlags::empty(),
        };
        epoll::add(&instance, socket, epoll::EventData::new_u64(0), flags)?;
        Ok(Self(instance))
    }

    /// What has been seen by now.
    ///
    /// # Errors
    /// What epoll_wait(2) answers.
    pub fn seen(&self) -> io::Result<Option<Hangup>> {
        let mut events = Vec::with_capacity(1);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&self.0, spare_capacity(&mut events), Some(&at_once))?;
        Ok(events.first().map(|event: &epoll::Event| {
            let flags = event.flags;
            if flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP) {
                Hangup::Broken
            } else {
                Hangup::Finished
            }
        }))
    }
}

impl AsFd for HangupWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for HangupWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Shutdown, TcpListener, TcpStream},
    };

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Waits for the watch itself, as a reactor does.
    fn readable(watch: &HangupWatch, within: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: within.as_secs().cast_signed(),
            tv_nsec: within.subsec_nanos().into(),
        };
        poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&timeout)).unwrap() > 0
    }

    #[test]
    fn data_does_not_wake_and_a_fin_behind_it_does() {
        let (client, mut server) = pair();
        let watch = HangupWatch::new(client.as_fd(), Until::Finished).unwrap();
        server.write_all(b"pipelined").unwrap();
        assert!(!readable(&watch, Duration::from_millis(50)));
        server.shutdown(Shutdown::Write).unwrap();
        assert!(readable(&watch, Duration::from_secs(5)));
        assert_eq!(watch.seen().unwrap(), Some(Hangup::Finished));
        let mut text = String::new();
        (&client).read_to_string(&mut text).unwrap();
        assert_eq!(text, "pipelined");
    }

    #[test]
    fn a_fin_is_not_the_end_of_the_connection_and_a_reset_is() {
        let (client, server) = pair();
        let watch = HangupWatch::new(client.as_fd(), Until::Broken).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(hangup(client.as_fd(), Duration::from_secs(5)).unwrap(), Some(Hangup::Finished));
        assert_eq!(watch.seen().unwrap(), None);
        crate::own::reset(server.as_fd()).unwrap();
        assert!(readable(&watch, Duration::from_secs(5)));
        assert_eq!(watch.seen().unwrap(), Some(Hangup::Broken));
        // The error was not taken: the application still gets it.
        assert!((&client).write(b"x").is_err());
    }
}
