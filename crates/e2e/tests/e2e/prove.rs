//! `prove` against real peers: alive, frozen, cut off, rebooted; and what it leaves behind.

mod crash;
mod crowd;
mod loss;
pub(crate) mod peer;
mod restart;
mod stage;
mod together;
mod unprivileged;
