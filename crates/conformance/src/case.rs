//! Owns what a case is. Plays none: see `suite`.

/// One of the two ends, which both are ours: the client connects to the relay, and the relay to the server.
pub use halfopen_lab::fault::Side;

use crate::{outcome::Ran, stage::Stage};

/// One thing that a relay has to get right.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, unique: part of the interface, never reused for something else.
    pub name: &'static str,
    /// What kind of case it is.
    pub family: Family,
    /// The end that acts; the other one watches. `Client` where both do the same.
    pub acting: Side,
    /// What is done, in a sentence.
    pub done: &'static str,
    /// What must be seen, in a sentence.
    pub due: &'static str,
    /// Where that is written.
    pub source: &'static str,
    /// What it needs beside a relay.
    pub needs: Needs,
    /// How long it takes.
    pub pace: Pace,
    /// Plays it.
    pub play: fn(&Stage, Side) -> Ran,
}

/// Cases that are about the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// The end of one direction, while the other lives.
    HalfClose,
    /// Nothing happens for a while, and nobody is dead.
    Patience,
    /// A connection that is broken off.
    Reset,
    /// Before the server's end is there.
    Birth,
    /// A peer that is gone without a word.
    Vanish,
    /// Bytes out of the ordinary.
    Bytes,
    /// Many at once, and what is left behind.
    Crowd,
}

impl Family {
    /// All of them, in the order of the score card.
    pub const ALL: [Self; 7] = [
        Self::HalfClose,
        Self::Patience,
        Self::Reset,
        Self::Birth,
        Self::Vanish,
        Self::Bytes,
        Self::Crowd,
    ];

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::HalfClose => "half-close",
            Self::Patience => "patience",
            Self::Reset => "reset",
            Self::Birth => "birth",
            Self::Vanish => "vanish",
            Self::Bytes => "bytes",
            Self::Crowd => "crowd",
        }
    }
}

/// What a case needs beside a relay between two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Needs {
    /// Nothing.
    Ends,
    /// Something that stands between the ends: plain TCP cannot show it.
    Relay,
    /// The relay's process, to look at.
    Process,
    /// A lab of its own, whose cables can be cut.
    Cables,
    /// A lab of its own, and a relay that may be killed.
    Victim,
}

/// How long a case takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Seconds.
    Brisk,
    /// As long as the suite is told to be patient; it waits beside the others.
    Slow,
    /// It strains the relay, and comes after all others.
    Last,
}
