//! Owns a cable: a thread that carries frames between two packet sockets as its [`Wire`] says, and a
//! record of every frame and its fate. Since it is the only way from one host to the other, it is
//! also the capture: nothing can pass before the capture starts. Makes no interfaces, decides nothing.
//! Read: `wire.rs` for what becomes of a frame; packet(7), veth(4).

mod record;

use std::{
    io,
    num::NonZeroU64,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use halfopen_core::Moment;
use halfopen_sys::{PacketSocket, Received};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    thread::set_current_timer_slack,
};

pub use self::record::FrameSeen;
use self::record::Record;
use crate::{
    bell::Bell,
    capture::{Capture, Side},
    topology::End,
    trial::go_first,
    wire::{Direction, Emission, Fate, Filter, Link, Loss, Middlebox, Passage, Reset, Wire},
};

/// A cable. Its verbs work at once: when they return, no frame meets its former fate any more.
#[derive(Debug)]
pub struct Cable {
    shared: Arc<Shared>,
    /// A byte written here makes the thread look at what is plugged in; its end ends the thread.
    wake: Option<OwnedFd>,
    forwarder: Option<JoinHandle<()>>,
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

    /// Takes out what is plugged in at `end`. From now on not one frame from there goes anywhere,
    /// not even one that is on its way.
    pub fn unplug(&self, end: End) {
        let mut state = self.shared.lock();
        *state.socket(end) = None;
        let now = halfopen_sys::now();
        for emission in state.wire.clear(end, now) {
            state.told_at_its_end(now, &emission, Fate::Dropped(Loss::Unplugged));
        }
        state.flush();
        drop(state);
        self.look_again();
    }

    /// Puts the faults of a link in force, in place of those that were.
    pub fn set_link(&self, direction: Direction, link: Link) {
        self.shared.lock().wire.set_link(direction, link, halfopen_sys::now());
    }

    /// The faults in force for what comes from `from`.
    pub fn link(&self, from: End) -> Link {
        *self.shared.lock().wire.link(from)
    }

    /// Puts a middlebox into the cable, in place of the one that was, or takes it out. It knows every
    /// connection that has passed the cable and is open.
    pub fn set_middlebox(&self, middlebox: Option<Middlebox>) {
        self.shared.lock().wire.set_middlebox(middlebox, halfopen_sys::now());
        // Its first deadline may come before the next frame.
        self.look_again();
    }

    /// Makes the middlebox forget every flow, as one that was switched off and on does. Nobody is told.
    pub fn forget_now(&self) {
        self.shared.lock().wire.forget_now();
    }

    /// How many flows the middlebox knows; `None` where there is no middlebox.
    pub fn known_flows(&self) -> Option<usize> {
        self.shared.lock().wire.known_flows()
    }

    /// Puts filters in force, in place of those that were; an empty list takes them out.
    pub fn set_filters(&self, filters: Vec<Filter>) {
        self.shared.lock().wire.set_filters(filters);
    }

    /// Sends an RST to one end of every connection that is meant. Returns how many there were.
    pub fn inject(&self, order: Reset) -> usize {
        self.forge(|wire, now| wire.inject(order, now))
    }

    /// Delivers once more the SYN of every connection that the host at `opener` has opened and no RST has ended.
    /// Returns how many there were.
    pub fn repeat_syn(&self, opener: End) -> usize {
        self.forge(|wire, now| wire.repeat_syn(opener, now))
    }

    /// Lets the wire make frames now, and sends them.
    fn forge(&self, make: impl FnOnce(&mut Wire, Moment) -> usize) -> usize {
        let now = halfopen_sys::now();
        let mut state = self.shared.lock();
        let count = make(&mut state.wire, now);
        state.emit(now);
        state.flush();
        self.shared.seen.notify_all();
        drop(state);
        // What a slow link holds back has a deadline now.
        self.look_again();
        count
    }

    /// Drops every frame from now on, silently: both ends keep their carrier, as they do when a
    /// cable behind a switch is cut. Other faults of the link stay.
    pub fn cut(&self) {
        self.set_cut(Direction::Both, true);
    }

    /// Drops every frame that comes from `end`, silently; the other direction still passes.
    pub fn cut_from(&self, end: End) {
        self.set_cut(Direction::From(end), true);
    }

    /// Cuts what [`Cable::cut`] and [`Cable::cut_from`] cut, or mends that and nothing else.
    pub fn set_cut(&self, direction: Direction, cut: bool) {
        self.shared.lock().wire.set_cut(direction, cut);
    }

    /// Loses `percent` of all frames from now on, in each direction. Which ones follows from `seed`
    /// for each connection and direction by itself: the same frames of a connection are lost
    /// again, whatever others do meanwhile. Other faults of the link stay.
    pub fn lose(&self, percent: u8, seed: u64) {
        let mut state = self.shared.lock();
        for from in End::BOTH {
            let link = Link { loss: percent.into(), burst: 1.0, seed, ..*state.wire.link(from) };
            state.wire.set_link(Direction::From(from), link, halfopen_sys::now());
        }
    }

    /// Makes the link perfect again: what [`Cable::set_link`], [`Cable::cut`] and [`Cable::lose`] did is
    /// undone. A middlebox and filters stay. What was dropped stays lost.
    pub fn mend(&self) {
        self.set_link(Direction::Both, Link::default());
    }

    /// Writes every frame from now on to a pcapng file as well, with its fate as a comment. The file is whole
    /// after each batch of frames; its last words are written when the cable is dropped.
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

    /// How many frames are not in the capture file because it has grown to its limit of 64 MiB.
    pub fn capture_left_out(&self) -> u64 {
        self.shared.lock().capture.as_ref().map_or(0, Capture::left_out)
    }

    /// Rings `bell` at every frame from now on.
    pub(crate) fn rings(&self, bell: Arc<Bell>) {
        self.shared.lock().bell = Some(bell);
    }

    /// The frames from number `first` on, as far as they are kept.
    pub fn frames(&self, first: u64) -> Vec<FrameSeen> {
        self.shared.lock().record.from(first).cloned().collect()
    }

    /// The number that the next frame will have: a mark for [`Cable::frames`] and [`Cable::wait_for`].
    pub fn next_number(&self) -> u64 {
        self.shared.lock().wire.next_number()
    }

    /// How many frames were forgotten because there were more than the cable keeps.
    pub fn forgotten(&self) -> u64 {
        self.shared.lock().record.forgotten()
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
            if let Some(found) = state.record.from(first).find(|seen| wanted(seen)) {
                return Some(found.clone());
            }
            first = first.max(state.record.next_number());
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
    wire: Wire,
    record: Record,
    capture: Option<Capture>,
    capture_failure: Option<String>,
    bell: Option<Arc<Bell>>,
}

impl Shared {
    fn forward_until_hung_up(&self, watch: &OwnedFd) {
        // Or the kernel wakes this thread up to 50 us late, to wake several at once. Without it nothing is wrong.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        // A cable that waits for its turn on a busy machine would look like a slow path.
        go_first();
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            let (plugged, deadline) = {
                let state = self.lock();
                (state.sockets.clone(), state.wire.deadline())
            };
            let mut polled = vec![PollFd::new(watch, PollFlags::IN)];
            polled.extend(
                plugged
                    .iter()
                    .flatten()
                    .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)),
            );
            let patience = deadline.map(|at| at.since(halfopen_sys::now()));
            // What does not fit is centuries away.
            let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
            match poll(&mut polled, patience.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            let mut bytes = [0; 64];
            // Zero bytes are the end of the pipe: the cable is being dropped.
            if rustix::io::read(watch, &mut bytes) == Ok(0) {
                return;
            }
            let mut state = self.lock();
            let before = state.record.next_number();
            // Both ends have their turn, however busy the first is.
            for from in End::BOTH {
                state.forward(from, &mut buffer);
            }
            state.emit(halfopen_sys::now());
            state.flush();
            if state.record.next_number() > before {
                self.seen.notify_all();
                if let Some(bell) = &state.bell {
                    bell.ring();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes up what waits at `from`, up to [`BATCH`] frames.
    fn forward(&mut self, from: End, buffer: &mut [u8]) {
        let Some(socket) = self.socket(from).clone() else { return };
        let other = self.socket(from.other()).clone();
        for _ in 0..BATCH {
            let length = match socket.receive(buffer) {
                Ok(Received::Frame(length)) => length,
                Ok(Received::LinkDown) => continue,
                Ok(Received::Nothing) => return,
                Err(_) => {
                    // The interface is beyond use; whoever plugs in another one is served again.
                    *self.socket(from) = None;
                    return;
                }
            };
            let bytes = buffer.get(..length).unwrap_or(buffer);
            let at = halfopen_sys::now();
            let mut passage = self.wire.take(at, from, bytes);
            if passage.at_once
                && let Err(loss) = send(other.as_deref(), bytes)
            {
                passage.fate = Fate::Dropped(loss);
            }
            if let Some(capture) = &mut self.capture {
                let Passage { number, fate, marks, .. } = &passage;
                let comment = format_args!("frame {number}: {fate}{marks}");
                capture.add(Side::In, at, bytes, comment);
            }
            self.record.keep(passage);
            self.keep_forged();
        }
    }

    /// Gives what leaves the wire by `now` to the ends.
    fn emit(&mut self, now: Moment) {
        while let Some((emission, mut fate)) = self.wire.due(now) {
            self.keep_forged();
            if !matches!(fate, Fate::Dropped(_))
                && let Err(loss) = send(self.socket(emission.to).as_deref(), &emission.bytes)
            {
                fate = Fate::Dropped(loss);
            }
            self.told_at_its_end(now, &emission, fate);
        }
        self.keep_forged();
    }

    /// Records what became of a frame at the end of its way.
    fn told_at_its_end(&mut self, now: Moment, emission: &Emission, fate: Fate) {
        if matches!(fate, Fate::Dropped(_)) {
            self.record.amend(emission.number, fate);
        }
        if let Some(capture) = &mut self.capture {
            let comment = format_args!("frame {}: {fate}", emission.number);
            capture.add(Side::Out, now, &emission.bytes, comment);
        }
    }

    fn keep_forged(&mut self) {
        while let Some(forged) = self.wire.forged() {
            self.record.keep(forged);
        }
    }

    /// Writes what the capture has gathered.
    fn flush(&mut self) {
        if let Some(capture) = &mut self.capture
            && let Err(cause) = capture.flush()
        {
            self.capture_failure = Some(format!("{}: {cause}", capture.path().display()));
            self.capture = None;
        }
    }

    const fn socket(&mut self, end: End) -> &mut Option<Arc<PacketSocket>> {
        let [left, right] = &mut self.sockets;
        match end {
            End::Left => left,
            End::Right => right,
        }
    }
}

fn send(socket: Option<&PacketSocket>, bytes: &[u8]) -> Result<(), Loss> {
    socket.ok_or(Loss::Unplugged)?.send(bytes).map_err(|_| Loss::Refused)
}

/// Frames taken from one end before the other has its turn, and before a verb can take effect.
const BATCH: usize = 64;

/// 64 KiB: longer than any frame, even where an interface coalesces.
const FRAME_MAX: usize = 65_536;
