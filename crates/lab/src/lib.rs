//! The fault lab: hosts made of namespaces, cables that can be cut, and what real kernels then do.
//!
//! A [`Lab`] stands by a [`Topology`]; [`book`] repeats the experiment of *TCP/IP Illustrated*,
//! volume 1, section 13.6.3; [`trial`] puts what `halfopen-core` predicts beside what is measured.
//!
//! # What this crate does not do
//! It touches no network but those that it makes, needs root or a user namespace ([`rootless`]) to
//! make them, and is never linked into a program that watches production.

mod bell;
pub mod book;
mod cable;
mod capture;
pub mod card;
pub mod clock;
mod errno;
pub mod fault;
pub mod forecast;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod lab;
pub mod ladder;
pub mod matrix;
pub mod pair;
mod program;
pub mod rehearsal;
pub mod requirements;
pub mod rootless;
pub mod scenario;
mod script;
pub mod timeline;
mod topology;
pub mod trial;
pub mod wait;
pub mod warp;
pub mod wire;

pub use cable::{Cable, FrameSeen};
pub use frame::{Flags, Frame, Neighbour, Segment};
pub use host::{Host, HostError};
pub use lab::{Lab, LabError};
pub use program::{Line, Program};
pub use requirements::Missing;
pub use topology::{
    CLIENT, CablePlan, End, EndPlan, HostPlan, IpFamily, ROUTER, SECOND_SERVER, SERVER, Topology,
};
pub use wire::{Fate, Loss};
