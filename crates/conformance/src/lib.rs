//! What a TCP relay has to do with half-close, reset and silence, as cases that run against any
//! relay: two plain sockets of ours, the relay between them, and what the one sees of the other.
//!
//! A [`Case`] says what is done and what must be seen; a [`Stage`] is where it is played; the
//! [`suite`] plays all of them and gives an [`Outcome`] for each. [`cases`] has them by family. A [`soak`]
//! is mixed lives and faults for hours.
//!
//! # What this crate does not do
//! It imports no relay, least of all ours: a judge owes nothing to whom it judges. Without a lab it
//! touches nothing but connections of its own, and kills only a relay that it has started.

#![forbid(unsafe_code)]

mod case;
pub mod cases;
mod descriptors;
mod end;
mod outcome;
mod pattern;
mod sight;
pub mod soak;
mod stage;
pub mod suite;

pub use case::{Case, Family, Needs, Pace, Side};
pub use outcome::{Mark, Miss, Outcome, Ran, Seen};
pub use sight::{Ending, Sight};
pub use stage::{Limits, Place, Stage, StageError};
