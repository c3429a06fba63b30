//! Owns a cable: a thread that passes frames from one end to the other, or does not, and keeps a
//! record of every frame and its fate. Since it is the only way from one host to the other, it is
//! also the capture: nothing can pass before the capture starts. Makes no interfaces.
//! Read: packet(7), veth(4).

mod chance;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use halfopen_core::Moment;
use halfopen_sys::{PacketSocket, Received};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use self::chance::Chance;
use crate::{capture::Capture, frame::Frame, topology::End};

/// A cable. Its verbs work at once: when they return, no frame meets its former fate any more.
#[derive(Debug)]
pub struct Cable {
    shared: Arc<Shared>,
    /// A byte written here makes the thread look at what is plugged in; its end ends the thread.
    wake: Option<OwnedFd>,
    forwarder: Option<JoinHandle<()>>,
}

/// A frame that reached the cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameSeen {
    /// Counts all frames of the cable, from 0.
    pub number: u64,
    /// When the cable took it up.
    pub at: Moment,
    /// The end that it came from.
    pub from: End,
    /// What became of it.
    pub fate: Fate,
    /// What it carries.
    pub frame: Frame,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It was given to the other end.
    Delivered,
    /// It vanished.
    Dropped(Loss),
}

/// Why a frame vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The cable was cut.
    Cut,
    /// The cable loses frames ([`Cable::lose`]), and this was one.
    Chance,
    /// Nothing was plugged in at the other end.
    Unplugged,
    /// The interface at the other end took no frames: down, gone, or its queue full.
    Refused,
}

impl Cable {
    /// A cable with nothing plugged in.
    ///
    /// # Errors
    /// What pipe(2) and clone(2) answer.
    pub fn new() -> io::Result<Self> {
        let (watch, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let shared = Arc::new(Shared::default());
        let forwarder = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("cable".to_owned())
                .spawn(move || shared.forward_until_hung_up(&watch))?
        };
        Ok(Self { shared, wake: Some(wake), forwarder: Some(forwarder) })
    }

    /// Plugs `socket` in at `end`; a socket that was plugged in there before is taken out.
    pub fn plug(&self, end: End, socket: PacketSocket) {
        *self.shared.lock().socket(end) = Some(Arc::new(socket));
        self.look_again();
    }

    /// Takes out what is plugged in at `end`. From now on not one frame from there goes anywhere.
    pub fn unplug(&self, end: End) {
        *self.shared.lock().socket(end) = None;
        self.look_again();
    }

    /// Drops every frame from now on, silently: both ends keep their carrier, as they do when a
    /// cable behind a switch is cut.
    pub fn cut(&self) {
        self.shared.lock().cut_from = (true, true);
    }

    /// Drops every frame that comes from `end`, silently; the other direction still passes.
    pub fn cut_from(&self, end: End) {
        match end {
            End::Left => self.shared.lock().cut_from.0 = true,
            End::Right => self.shared.lock().cut_from.1 = true,
        }
    }

    /// Loses `percent` of all frames from now on, in each direction. Which ones follows from `seed`
    /// for each connection and direction by itself: the same frames of a connection are lost
    /// again, whatever others do meanwhile.
    pub fn lose(&self, percent: u8, seed: u64) {
        self.shared.lock().chance = Some(Chance::new(percent, seed));
    }

    /// Passes frames again. What was dropped stays lost.
    pub fn mend(&self) {
        let mut state = self.shared.lock();
        (state.cut_from, state.chance) = ((false, false), None);
    }

    /// Writes every frame from now on to a pcap file as well.
    ///
    /// # Errors
    /// What open(2) and write(2) answer.
    pub fn capture_to(&self, path: &Path) -> io::Result<()> {
        let capture = Capture::create(path)?;
        self.shared.lock().capture = Some(capture);
        Ok(())
    }

    /// Why the capture file is not whole, if it is not: the file, and what write(2) answered.
    pub fn capture_failure(&self) -> Option<String> {
        self.shared.lock().capture_failure.clone()
    }

    /// The frames from number `first` on, as far as they are kept.
    pub fn frames(&self, first: u64) -> Vec<FrameSeen> {
        self.shared.lock().frames.iter().filter(|seen| seen.number >= first).cloned().collect()
    }

    /// The number that the next frame will have: a mark for [`Cable::frames`] and [`Cable::wait_for`].
    pub fn next_number(&self) -> u64 {
        self.shared.lock().next_number
    }

    /// How many frames were forgotten because there were more than the cable keeps.
    pub fn forgotten(&self) -> u64 {
        let state = self.shared.lock();
        state.next_number - state.frames.len() as u64
    }

    /// The first frame from number `first` on that `wanted` likes, if it is seen `within` this time.
    pub fn wait_for(
        &self,
        first: u64,
        within: Duration,
        mut wanted: impl FnMut(&FrameSeen) -> bool,
    ) -> Option<FrameSeen> {
        let deadline = Instant::now() + within;
        let mut first = first;
        let mut state = self.shared.lock();
        loop {
            let found = state.frames.iter().find(|seen| seen.number >= first && wanted(seen));
            if let Some(found) = found {
                return Some(found.clone());
            }
            first = first.max(state.next_number);
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.shared.seen.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn look_again(&self) {
        if let Some(wake) = &self.wake {
            // A full pipe wakes the thread just as well.
            let _ = rustix::io::write(wake, &[0]);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(forwarder) = self.forwarder.take() {
            // A thread that panicked forwards nothing any more, which is all that is wanted.
            let _ = forwarder.join();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    seen: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sockets: [Option<Arc<PacketSocket>>; 2],
    /// Frames that come from the left end, and from the right, are dropped.
    cut_from: (bool, bool),
    chance: Option<Chance>,
    frames: VecDeque<FrameSeen>,
    next_number: u64,
    capture: Option<Capture>,
    capture_failure: Option<String>,
}

impl Shared {
    fn forward_until_hung_up(&self, watch: &OwnedFd) {
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            let plugged = self.lock().sockets.clone();
            let mut polled = vec![PollFd::new(watch, PollFlags::IN)];
            polled.extend(
                plugged
                    .iter()
                    .flatten()
                    .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)),
            );
            match poll(&mut polled, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            let mut bytes = [0; 64];
            // Zero bytes are the end of the pipe: the cable is being dropped.
            if rustix::io::read(watch, &mut bytes) == Ok(0) {
                return;
            }
            let mut state = self.lock();
            // Both ends have their turn, however busy the first is.
            let [left, right] = End::BOTH.map(|from| state.forward(from, &mut buffer));
            if left || right {
                self.seen.notify_all();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Passes on what waits at `from`, up to [`BATCH`] frames. Says whether there was anything.
    fn forward(&mut self, from: End, buffer: &mut [u8]) -> bool {
        let Some(socket) = self.socket(from).clone() else { return false };
        for count in 0..BATCH {
            let length = match socket.receive(buffer) {
                Ok(Received::Frame(length)) => length,
                Ok(Received::LinkDown) => continue,
                Ok(Received::Nothing) => return count > 0,
                Err(_) => {
                    // The interface is beyond use; whoever plugs in another one is served again.
                    *self.socket(from) = None;
                    return true;
                }
            };
            let frame = buffer.get(..length).unwrap_or(buffer);
            let at = halfopen_sys::now();
            let fate = self.pass_on(from, frame);
            self.record(at, from, fate, frame);
        }
        true
    }

    fn pass_on(&mut self, from: End, frame: &[u8]) -> Fate {
        let is_cut = match from {
            End::Left => self.cut_from.0,
            End::Right => self.cut_from.1,
        };
        if is_cut {
            return Fate::Dropped(Loss::Cut);
        }
        if self.chance.as_mut().is_some_and(|chance| chance.takes(from, frame)) {
            return Fate::Dropped(Loss::Chance);
        }
        match self.socket(from.other()) {
            None => Fate::Dropped(Loss::Unplugged),
            Some(other) if other.send(frame).is_err() => Fate::Dropped(Loss::Refused),
            Some(_) => Fate::Delivered,
        }
    }

    fn record(&mut self, at: Moment, from: End, fate: Fate, bytes: &[u8]) {
        if let Some(capture) = &mut self.capture
            && let Err(cause) = capture.append(at, bytes)
        {
            self.capture_failure = Some(format!("{}: {cause}", capture.path().display()));
            self.capture = None;
        }
        let number = self.next_number;
        self.next_number += 1;
        if self.frames.len() >= FRAMES_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back(FrameSeen { number, at, from, fate, frame: Frame::parse(bytes) });
    }

    const fn socket(&mut self, end: End) -> &mut Option<Arc<PacketSocket>> {
        let [left, right] = &mut self.sockets;
        match end {
            End::Left => left,
            End::Right => right,
        }
    }
}

/// Frames taken from one end before the other has its turn, and before a verb can take effect.
const BATCH: usize = 64;

/// 64 KiB: longer than any frame, even where an interface coalesces.
const FRAME_MAX: usize = 65_536;

/// 50,000 frames: a rehearsal has hundreds; about 10 MB. The oldest go first, and are counted.
const FRAMES_MAX: usize = 50_000;
