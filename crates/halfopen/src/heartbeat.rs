//! Owns heartbeats over any framed protocol: a stream and sink of messages that asks its peer when one
//! direction has been quiet, answers the peer's questions, and ends with the evidence when the peer is
//! dead. The decisions are `halfopen_core::heartbeat`'s; the messages are a [`Protocol`]'s.

mod protocols;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use futures_sink::Sink;
pub use halfopen_core::heartbeat::{Beat, Judgement, Policy as HeartbeatPolicy};
use halfopen_core::{
    Chance,
    heartbeat::{Heartbeat, Next},
};
use tokio::time::Sleep;
use tokio_util::codec::Framed;

pub use self::protocols::{FrameBeats, LineBeats};
use crate::{
    clock::{Clock, Running, chance},
    death::{Dead, Evidence},
    watched::{Watch, Watched},
};

/// How heartbeats look in a protocol.
pub trait Protocol<Item, Message> {
    /// The question of a heartbeat. A protocol whose answers carry no number may leave it out.
    fn question(&mut self, beat: Beat) -> Message;

    /// What a message of the peer is.
    fn judge(&mut self, item: &Item) -> Heard<Message>;
}

/// What a message of the peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard<Message> {
    /// A message for the application. It is life as well.
    Message,
    /// An answer to this heartbeat, or, without a number, to the last one. Not for the application.
    Answer(Option<Beat>),
    /// A question of the peer's own heartbeat, and our answer. Not for the application.
    Question(Message),
}

/// A framed connection with heartbeats. It has to be polled as a [`Stream`] to work, which whoever waits
/// for messages does anyway.
///
/// ```
/// use futures_util::{SinkExt as _, StreamExt as _};
/// use halfopen::{Beating, HeartbeatPolicy, LineBeats, Watched};
/// use std::time::Duration;
/// use tokio_util::codec::{Framed, LinesCodec};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let (stream, peer) = tokio::io::duplex(1024);
/// let framed = Framed::new(Watched::new(stream), LinesCodec::new());
/// let policy = HeartbeatPolicy::detecting_within(Duration::from_secs(60));
/// let mut lines = Beating::new(framed, LineBeats::new("PING", "PONG"), policy);
/// lines.send("hello".to_owned()).await.unwrap();
/// # let mut peer = Framed::new(peer, LinesCodec::new());
/// # peer.send("PING 0".to_owned()).await.unwrap();
/// # peer.send("welcome".to_owned()).await.unwrap();
/// // The peer's heartbeats are answered, and do not show up here.
/// assert_eq!(lines.next().await.unwrap().unwrap(), "welcome");
/// # }
/// ```
///
/// A task that is parked in `send` does not poll the stream. Either split it and receive in another task,
/// or put a [`Watched`] with [`dead_after`](Watched::dead_after) below it, which ends parked writes.
///
/// Cancel-safe: a `next()` that is dropped loses nothing. The time that answers may take has to cover
/// what lies unsent before a question: heartbeats do not overtake messages.
#[derive(Debug)]
pub struct Beating<T, P, Message> {
    transport: T,
    protocol: P,
    heartbeat: Heartbeat,
    policy: HeartbeatPolicy,
    chance: Chance,
    clock: Running,
    timer: Pin<Box<Sleep>>,
    /// Heartbeats and answers that wait for room in the transport.
    waiting: VecDeque<Message>,
    must_flush: bool,
    last: Beat,
    round_trip: Option<Duration>,
    watch: Option<Watch>,
    over: bool,
    dead: Option<Dead>,
    /// A transport wakes the task that asked it last. Where messages are sent in one task and received in
    /// another, each has to wake the other when it has moved the transport on.
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

/// Why a connection with heartbeats failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeatingError<E> {
    /// The peer is dead.
    #[error(transparent)]
    Dead(#[from] Dead),
    /// The transport or its codec failed.
    #[error(transparent)]
    Transport(E),
}

impl<S, C, P, Message> Beating<Framed<Watched<S>, C>, P, Message> {
    /// Heartbeats over a framed [`Watched`] stream, which is declared dead with the peer: whoever is
    /// parked in a read or write of it wakes.
    pub fn new(framed: Framed<Watched<S>, C>, protocol: P, policy: HeartbeatPolicy) -> Self {
        let watch = framed.get_ref().watch();
        Self { watch: Some(watch), ..Self::over(framed, protocol, policy) }
    }
}

impl<T, P, Message> Beating<T, P, Message> {
    /// Heartbeats over any stream and sink of messages, such as a WebSocket.
    pub fn over(transport: T, protocol: P, policy: HeartbeatPolicy) -> Self {
        Self::on(transport, protocol, policy, Clock::default())
    }

    /// As [`Beating::over`], with the time of `clock`, for tests that stop tokio's.
    pub fn on(transport: T, protocol: P, policy: HeartbeatPolicy, clock: Clock) -> Self {
        let (clock, mut chance) = (clock.start(), chance());
        let heartbeat = Heartbeat::new(policy, clock.now(), &mut chance);
        Self {
            transport,
            protocol,
            heartbeat,
            policy,
            chance,
            clock,
            timer: Box::pin(tokio::time::sleep(policy.interval)),
            waiting: VecDeque::new(),
            must_flush: false,
            last: Beat(0),
            round_trip: None,
            watch: None,
            over: false,
            dead: None,
            sender: None,
            receiver: None,
        }
    }

    /// Also declares this stream dead with the peer.
    #[must_use]
    pub fn declaring(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Draws jitter from this seed, so that a test can be repeated.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.chance = Chance::new(seed);
        self.heartbeat = Heartbeat::new(self.policy, self.clock.now(), &mut self.chance);
        self
    }

    /// Heartbeats in a row without an answer: more than none means that the peer is suspected.
    pub const fn missed(&self) -> u32 {
        self.heartbeat.missed()
    }

    /// How long our own process was stopped, or the host asleep, in sum, where that delayed a judgement.
    pub const fn paused(&self) -> Duration {
        self.heartbeat.paused()
    }

    /// From the last heartbeat that was answered to its answer.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The transport inside.
    pub const fn get_ref(&self) -> &T {
        &self.transport
    }

    /// Notes whose turn it is after the sender's.
    fn after_sender<R>(&mut self, answer: Poll<R>, context: &Context<'_>) -> Poll<R> {
        match &answer {
            Poll::Pending => self.sender = Some(context.waker().clone()),
            Poll::Ready(_) => wake(&mut self.receiver),
        }
        answer
    }

    /// Notes whose turn it is after the receiver's: what heartbeats had to send, or could not.
    fn after_receiver<R>(&mut self, answer: Poll<R>, context: &Context<'_>) -> Poll<R> {
        match &answer {
            Poll::Pending => self.receiver = Some(context.waker().clone()),
            Poll::Ready(_) => wake(&mut self.sender),
        }
        answer
    }

    fn declare(&mut self, evidence: Evidence) -> Dead {
        self.over = true;
        let dead = Dead::from(evidence.clone());
        self.dead = Some(dead.clone());
        wake(&mut self.sender);
        if let Some(watch) = &self.watch {
            watch.declare(evidence);
        }
        dead
    }

    /// A transport that nobody declares dead would keep its sender waiting for a peer that is.
    fn refuse_if_dead<E>(&self) -> Result<(), BeatingError<E>> {
        self.dead.clone().map_or(Ok(()), |dead| Err(dead.into()))
    }
}

impl<T, P, Message> Beating<T, P, Message>
where
    T: Sink<Message> + Unpin,
    Message: Unpin,
    P: Unpin,
{
    /// Gives the transport what waits, as far as it takes it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        while !self.waiting.is_empty() {
            std::task::ready!(Pin::new(&mut self.transport).poll_ready(context))?;
            if let Some(message) = self.waiting.pop_front() {
                Pin::new(&mut self.transport).start_send(message)?;
                self.must_flush = true;
            }
        }
        if self.must_flush {
            std::task::ready!(Pin::new(&mut self.transport).poll_flush(context))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T, P, Item, Message, E> Stream for Beating<T, P, Message>
where
    T: Stream<Item = Result<Item, E>> + Sink<Message, Error = E> + Unpin,
    P: Protocol<Item, Message> + Unpin,
    Message: Unpin,
{
    type Item = Result<Item, BeatingError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        loop {
            let sends = !this.waiting.is_empty() || this.must_flush;
            let mut sent = this.poll_send(context);
            if sends {
                sent = this.after_receiver(sent, context);
            }
            if let Poll::Ready(Err(error)) = sent {
                this.over = true;
                return Poll::Ready(Some(Err(BeatingError::Transport(error))));
            }
            // What has come is read before anybody is judged by what has not.
            match Pin::new(&mut this.transport).poll_next(context) {
                Poll::Ready(Some(Ok(item))) => {
                    if let Some(item) = this.heard(item) {
                        return Poll::Ready(Some(Ok(item)));
                    }
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    this.over = true;
                    return Poll::Ready(Some(Err(BeatingError::Transport(error))));
                }
                Poll::Ready(None) => {
                    this.over = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {}
            }
            match this.heartbeat.poll(this.clock.now(), &mut this.chance) {
                Next::Send(beat) => {
                    this.last = beat;
                    let question = this.protocol.question(beat);
                    this.waiting.push_back(question);
                }
                Next::Dead(death) => {
                    let silent_for = death.silent_for;
                    let dead =
                        this.declare(Evidence::Heartbeat { missed: death.missed, silent_for });
                    return Poll::Ready(Some(Err(dead.into())));
                }
                Next::WaitUntil(until) => {
                    this.timer.as_mut().reset(this.clock.instant(until));
                    if this.timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl<T, P, Message> Beating<T, P, Message> {
    /// Returns what is for the application.
    fn heard<Item>(&mut self, item: Item) -> Option<Item>
    where
        P: Protocol<Item, Message>,
    {
        let now = self.clock.now();
        match self.protocol.judge(&item) {
            Heard::Message => {
                self.heartbeat.handle_heard(now);
                return Some(item);
            }
            Heard::Answer(beat) => {
                let beat = beat.unwrap_or(self.last);
                self.round_trip = self.heartbeat.handle_answer(beat, now).or(self.round_trip);
            }
            Heard::Question(answer) => {
                self.heartbeat.handle_heard(now);
                self.heartbeat.handle_sent(now);
                if self.waiting.len() == WAITING_MAX {
                    // The peer asks and does not read: what it has not read yet it does not miss.
                    self.waiting.pop_front();
                }
                self.waiting.push_back(answer);
            }
        }
        None
    }
}

impl<T, P, Message> Sink<Message> for Beating<T, P, Message>
where
    T: Sink<Message> + Unpin,
    P: Unpin,
    Message: Unpin,
{
    type Error = BeatingError<T::Error>;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.refuse_if_dead()?;
        let answer = Pin::new(&mut self.transport).poll_ready(context);
        self.after_sender(answer, context).map_err(BeatingError::Transport)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        self.refuse_if_dead()?;
        let now = self.clock.now();
        self.heartbeat.handle_sent(now);
        Pin::new(&mut self.transport).start_send(message).map_err(BeatingError::Transport)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.refuse_if_dead()?;
        let answer = Pin::new(&mut self.transport).poll_flush(context);
        self.after_sender(answer, context).map_err(BeatingError::Transport)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.refuse_if_dead()?;
        let answer = Pin::new(&mut self.transport).poll_close(context);
        self.after_sender(answer, context).map_err(BeatingError::Transport)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// A peer that asks faster than it reads must not fill our memory.
const WAITING_MAX: usize = 16;

#[cfg(test)]
mod tests;
