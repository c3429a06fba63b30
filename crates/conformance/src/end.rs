//! Owns one end of a connection: a plain socket of ours, what it sends, and what it sees.
//! Judges nothing (`sight` does). Read: tcp(7), socket(7) on SO_LINGER, shutdown(2).

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::SockRef;

use crate::{
    case::Side,
    outcome::Miss,
    pattern,
    sight::{Ending, Sight, seconds},
};

/// An end. Where it is dropped, it is reset: nothing of a case is left to disturb the next.
#[derive(Debug)]
pub(crate) struct End {
    side: Side,
    stream: TcpStream,
    sent: u64,
    received: u64,
    /// Its end is RST: so it is dropped unless [`End::close`] said otherwise.
    resets: bool,
}

impl End {
    pub(crate) fn new(side: Side, stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // A delayed byte would be taken for the relay's delay.
        stream.set_nodelay(true)?;
        Ok(Self { side, stream, sent: 0, received: 0, resets: true })
    }

    /// The same end for another thread, which has to keep to the direction that this one leaves alone.
    pub(crate) fn twin(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, ..*self })
    }

    /// Sends the next `bytes` of the stream; fails where they are not taken within [`TAKEN_WITHIN`].
    pub(crate) fn send(&mut self, bytes: u64) -> Result<(), Miss> {
        let (target, began) = (self.sent + bytes, Instant::now());
        while self.sent < target {
            let left = TAKEN_WITHIN.saturating_sub(began.elapsed());
            match self.send_some(target - self.sent, left) {
                Ok(0) => {
                    let (side, rest) = (self.side, target - self.sent);
                    let said = format!(
                        "{rest} bytes of the {side} were not taken in {}",
                        seconds(TAKEN_WITHIN)
                    );
                    return Err(Miss::failed("stalled", said));
                }
                Ok(_) => {}
                Err(error) => {
                    let ending = Some(Ending::of(&error));
                    let at = began.elapsed();
                    let sight = Sight { side: self.side, bytes: 0, wrong_at: None, ending, at };
                    let said = format!("the {}, sending, got the error {error}", self.side);
                    return Err(Miss::failed(sight.brief(), said));
                }
            }
        }
        Ok(())
    }

    /// Sends until nothing is taken for [`BLOCKED_AFTER`], and says how many bytes that were, or at most `bound`.
    pub(crate) fn send_until_blocked(&mut self, bound: u64) -> Result<u64, Miss> {
        let before = self.sent;
        while self.sent - before < bound {
            if self.send_some(bound - (self.sent - before), BLOCKED_AFTER)? == 0 {
                break;
            }
        }
        Ok(self.sent - before)
    }

    /// Sends what is taken now, or within this time; 0 if nothing is.
    fn send_some(&mut self, most: u64, within: Duration) -> io::Result<u64> {
        let deadline = Instant::now() + within;
        loop {
            match (&self.stream).write(pattern::from(self.sent, most)) {
                Ok(count) => {
                    self.sent += count as u64;
                    return Ok(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(0);
                    }
                    self.wait(PollFlags::OUT, left)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends one urgent byte, beside the stream's own (RFC 6093).
    pub(crate) fn send_urgent(&self) -> io::Result<()> {
        SockRef::from(&self.stream).send_out_of_band(b"!").map(|_| ())
    }

    /// How many bytes it has sent.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Says that nothing more will come: FIN.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            // It was broken meanwhile, which whoever watches sees.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Breaks the connection off: RST.
    pub(crate) fn reset(self) {
        drop(self);
    }

    /// Ends as close(2) ends it: FIN, or RST where bytes are unread (RFC 2525 2.17).
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.resets = false;
        SockRef::from(&self.stream).set_linger(None)
    }

    /// How many bytes wait to be read.
    pub(crate) fn unread(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.stream)?)
    }

    /// Watches until `bytes` have come, or the connection ends, or so long.
    pub(crate) fn receive(&mut self, bytes: u64, within: Duration) -> Result<Sight, Miss> {
        let began = Instant::now();
        let mut sight = self.blank();
        self.look(&mut sight, began, within, |sight| sight.bytes >= bytes)?;
        Ok(sight)
    }

    /// Watches until the connection ends, or so long.
    pub(crate) fn watch(&mut self, within: Duration) -> Result<Sight, Miss> {
        let began = Instant::now();
        let mut sight = self.blank();
        self.look(&mut sight, began, within, |_| false)?;
        Ok(sight)
    }

    /// Watches as [`End::watch`], and sends `bytes` every so often meanwhile, as far as they are taken.
    pub(crate) fn watch_sending(
        &mut self,
        within: Duration,
        bytes: u64,
        every: Duration,
    ) -> Result<Sight, Miss> {
        let began = Instant::now();
        let mut sight = self.blank();
        while sight.ending.is_none() && began.elapsed() < within {
            if let Err(error) = self.send_some(bytes, Duration::ZERO) {
                sight.ending = Some(Ending::of(&error));
                sight.at = began.elapsed();
                break;
            }
            let until = within.min(began.elapsed() + every);
            self.look(&mut sight, began, until, |_| false)?;
        }
        Ok(sight)
    }

    /// Goes on sending after the other side's FIN, until an error tells that nobody reads, or so long.
    pub(crate) fn send_until_told(
        &mut self,
        within: Duration,
        bytes: u64,
        every: Duration,
    ) -> Result<Sight, Miss> {
        let began = Instant::now();
        let mut sight = self.blank();
        while sight.ending.is_none() && began.elapsed() < within {
            match self.send_some(bytes, Duration::ZERO) {
                Ok(_) => sight.ending = self.watch_for_reset(every)?.ending,
                Err(error) => sight.ending = Some(Ending::of(&error)),
            }
            sight.at = began.elapsed();
        }
        Ok(sight)
    }

    /// Watches a connection whose FIN has been read, or whose bytes shall not be, for its breaking.
    pub(crate) fn watch_for_reset(&mut self, within: Duration) -> Result<Sight, Miss> {
        let began = Instant::now();
        let mut sight = self.blank();
        loop {
            let left = within.saturating_sub(began.elapsed());
            let happened = self.wait(PollFlags::empty(), left.min(PAUSE))?;
            sight.at = began.elapsed();
            if happened.contains(PollFlags::ERR)
                && let Some(error) = self.stream.take_error()?
            {
                sight.ending = Some(Ending::of(&error));
                return Ok(sight);
            }
            if sight.at >= within {
                return Ok(sight);
            }
            if happened.contains(PollFlags::HUP) {
                // Both directions have ended in order: nothing more can happen.
                std::thread::sleep(PAUSE);
            }
        }
    }

    const fn blank(&self) -> Sight {
        Sight { side: self.side, bytes: 0, wrong_at: None, ending: None, at: Duration::ZERO }
    }

    /// Reads into `sight` until it is `enough`, or the connection ends, or `within` has passed since `began`.
    fn look(
        &mut self,
        sight: &mut Sight,
        began: Instant,
        within: Duration,
        enough: impl Fn(&Sight) -> bool,
    ) -> Result<(), Miss> {
        let mut buffer = [0; 65_536];
        while !enough(sight) {
            match (&self.stream).read(&mut buffer) {
                Ok(0) => sight.ending = Some(Ending::Fin),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    sight.wrong_at =
                        sight.wrong_at.or_else(|| pattern::first_wrong(self.received, bytes));
                    self.received += count as u64;
                    sight.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = within.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    self.wait(PollFlags::IN, left)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => sight.ending = Some(Ending::of(&error)),
            }
            if sight.ending.is_some() {
                break;
            }
        }
        sight.at = began.elapsed();
        Ok(())
    }

    /// Waits for one of these, or an error, or so long.
    fn wait(&self, wanted: PollFlags, within: Duration) -> io::Result<PollFlags> {
        let mut polled = [PollFd::new(&self.stream, wanted)];
        let timeout = Timespec::try_from(within).map_err(io::Error::other)?;
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [polled] = polled;
        Ok(polled.revents())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.resets {
            // A socket that has ended already refuses, and needs it no more.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Far longer than any relay that is not stuck takes for what the cases send, on a busy machine.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// A relay that takes nothing for so long is blocked. Long beside the pauses of a busy machine.
const BLOCKED_AFTER: Duration = Duration::from_millis(1_500);

/// Short beside everything that is told of a case.
const PAUSE: Duration = Duration::from_millis(10);
