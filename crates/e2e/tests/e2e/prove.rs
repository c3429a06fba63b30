//! `prove` against real peers: alive, frozen, cut off, rebooted; and what it leaves behind.

mod crash;
mod loss;
mod matrix;
mod peer;
mod stage;
mod unprivileged;
