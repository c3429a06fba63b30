//! Owns the picture: two lifelines with the states of TCP alongside, the segments between them, and what
//! happened beside them. Pure: events in, text or SVG out.
//! Read: `ladder/story.rs` for where the events come from, `ladder/rows.rs` for what is folded.

mod rows;
mod states;
mod story;
mod svg;
mod text;

use std::time::Duration;

use halfopen_core::TcpState;

pub use story::{Note, Place, story};
pub use svg::draw as draw_svg;
pub use text::{WIDTH, draw};

use crate::{
    topology::End,
    wire::{Fate, Loss},
};

/// Something to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the beginning of the story.
    pub at: Duration,
    /// What happened.
    pub what: Happening,
    /// What the connection is from now on at the left and at the right end, where that changed. Followed by the
    /// rules of RFC 9293 from what was sent and what arrived; nobody asked the hosts.
    pub states: [Option<State>; 2],
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A frame went, or should have gone, from one side to the other.
    Frame {
        /// Who sent it; left is the first lifeline.
        from: End,
        /// What the arrow says.
        label: String,
        /// What became of it.
        fate: Fate,
        /// What it is for.
        role: Role,
    },
    /// Something happened on one side.
    Beside(End, String),
    /// Something happened to the cable.
    Between(String),
}

/// What a frame is for, as far as that decides how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Something new.
    News,
    /// What was sent before.
    Again,
    /// A keepalive probe.
    Keepalive,
    /// The answer to one.
    KeepaliveAnswer,
}

/// What a connection is at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// A state of TCP.
    Is(TcpState),
    /// The host has forgotten it without a word.
    Forgotten,
}

impl State {
    /// Its name, in at most 11 columns.
    const fn word(self) -> &'static str {
        match self {
            Self::Is(TcpState::SynReceived) => "SYN-RCVD",
            Self::Is(state) => state.rfc_name(),
            Self::Forgotten => "(forgotten)",
        }
    }
}

/// Why a frame was lost, in at most 10 columns; nothing where the picture shows it anyway.
const fn why(fate: Fate) -> &'static str {
    let Fate::Dropped(loss) = fate else { return "" };
    match loss {
        Loss::Cut | Loss::Unplugged => "",
        Loss::Chance => "lost",
        Loss::Refused => "refused",
        Loss::QueueFull => "queue full",
        Loss::TooLong => "too long",
        Loss::Filtered => "filtered",
        Loss::Forgotten => "unknown",
        Loss::TableFull => "table full",
        Loss::Keepalive => "eaten",
    }
}

#[cfg(test)]
mod tests;
