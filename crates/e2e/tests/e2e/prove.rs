//! `prove` against real peers: alive, frozen, cut off, rebooted; and what it leaves behind.

mod crash;
mod crowd;
mod loss;
mod matrix;
pub(crate) mod peer;
mod stage;
mod unprivileged;
