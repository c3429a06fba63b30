//! Owns one direction of a pair: what its source may still have, what is in hand, and whether the
//! sink has room; and whether its bytes are copied or spliced. Pure.
//! Read: splice(2), tcp(7) on urgent data, linux net/ipv4/tcp.c `tcp_splice_read`.

use super::Readiness;

/// How bytes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// recv(2) into a buffer.
    Receive,
    /// As `Receive`, after a look whether the next byte is an urgent one (SIOCATMARK).
    ReceiveAtMark,
    /// splice(2) into a pipe.
    Splice,
}

/// How bytes in hand are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giving {
    /// send(2) from a buffer.
    Send,
    /// As `Send`, marked urgent (MSG_OOB).
    SendUrgent,
    /// splice(2) out of a pipe.
    Splice,
}

#[derive(Debug, Default)]
pub(super) struct Flow {
    source: Source,
    sink: Sink,
    /// FIN was sent to the sink.
    pub(super) finished: bool,
    /// A short read may stop in front of the FIN, so it does not mean dry.
    hung_up: bool,
    /// It once had an urgent mark, so it may have another one, at which a splice would stop for ever
    /// (EAGAIN, `tcp_read_sock`): such a stream is copied to its end.
    urgent: bool,
    hand: Hand,
    /// Bytes in hand.
    pub(super) held: usize,
    /// Of those, the relay's own.
    prefix: usize,
    /// Bytes given on.
    pub(super) given: u64,
    splices: bool,
    /// Reads in a row that filled all the room there was.
    full_reads: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Source {
    /// Nothing to take until its socket reports something.
    #[default]
    Quiet,
    /// There may be something.
    Ready,
    /// Its FIN was read: there is no more, and that is complete.
    Ended,
    /// There is no more, and that is not complete.
    Cut,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sink {
    #[default]
    Roomy,
    Full,
}

/// What holds the bytes in hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Hand {
    #[default]
    Buffer,
    Urgent,
    Pipe,
}

impl Flow {
    pub(super) fn giving(&self) -> Option<Giving> {
        (self.held > 0 && self.sink == Sink::Roomy).then_some(match self.hand {
            Hand::Buffer => Giving::Send,
            Hand::Urgent => Giving::SendUrgent,
            Hand::Pipe => Giving::Splice,
        })
    }

    /// Nothing is taken for which there is no room: the peer's own window then fills, which is the
    /// back-pressure that it would see without a relay.
    pub(super) fn taking(&self) -> Option<Taking> {
        let wanted = self.held == 0 && self.source == Source::Ready && self.sink == Sink::Roomy;
        // Where a FIN was reported without an urgent byte there is none: nothing comes behind a FIN.
        wanted.then_some(if self.urgent {
            Taking::ReceiveAtMark
        } else if self.splices {
            Taking::Splice
        } else {
            Taking::Receive
        })
    }

    pub(super) fn is_to_finish(&self) -> bool {
        let is_due = self.source == Source::Ended && self.held == 0 && !self.finished;
        is_due && self.sink == Sink::Roomy
    }

    pub(super) fn readable(&mut self, readiness: Readiness) {
        self.hung_up |= readiness.hung_up;
        if readiness.urgent {
            self.urgent = true;
            self.copy();
        }
        let any = readiness.readable || readiness.hung_up || readiness.urgent;
        if any && self.source == Source::Quiet {
            self.source = Source::Ready;
        }
    }

    pub(super) fn prefix(&mut self, bytes: usize) {
        self.prefix += bytes;
        self.held += bytes;
        self.hand = Hand::Buffer;
    }

    pub(super) fn took(&mut self, bytes: usize, room: usize) {
        self.held += bytes;
        if self.splices {
            self.hand = Hand::Pipe;
            if bytes < SPLICE_WORTH {
                self.copy();
            }
            return;
        }
        self.hand = Hand::Buffer;
        if bytes < room {
            self.full_reads = 0;
            if !self.hung_up && !self.urgent {
                // What arrives from now on is reported anew, since epoll is edge-triggered.
                self.source = Source::Quiet;
            }
        } else {
            self.full_reads = self.full_reads.saturating_add(1);
            self.splices = self.full_reads >= FULL_READS && !self.urgent;
        }
    }

    pub(super) fn took_urgent(&mut self) {
        self.held += 1;
        self.hand = Hand::Urgent;
        self.copy();
    }

    /// `broken`: nothing will ever come again.
    pub(super) fn dry(&mut self, broken: bool) {
        if self.source == Source::Ready {
            self.source = if broken { Source::Cut } else { Source::Quiet };
        }
    }

    pub(super) fn ended(&mut self) {
        if self.source != Source::Cut {
            self.source = Source::Ended;
        }
    }

    pub(super) fn cut(&mut self) {
        self.source = Source::Cut;
    }

    /// The source is over; its last bytes may be in the kernel's queue.
    pub(super) fn last_look(&mut self) {
        if matches!(self.source, Source::Quiet | Source::Ready) {
            self.source = Source::Ready;
        }
        self.copy();
    }

    pub(super) fn unclear(&mut self) {
        self.urgent = true;
        self.copy();
    }

    pub(super) fn copy(&mut self) {
        self.splices = false;
        self.full_reads = 0;
    }

    pub(super) fn gave(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let own = self.prefix.min(bytes);
        self.prefix -= own;
        // usize has at most 64 bits on every platform of Rust.
        self.given += (bytes - own) as u64;
    }

    pub(super) fn full(&mut self) {
        self.sink = Sink::Full;
    }

    pub(super) fn roomy(&mut self) {
        self.sink = Sink::Roomy;
    }
}

/// A stream that fills two buffers in a row is bulk, for which splicing halves the processor time.
const FULL_READS: u8 = 2;
/// Below this many bytes a copy costs less than the two calls and the pipe of a splice.
const SPLICE_WORTH: usize = 16 * 1024;
