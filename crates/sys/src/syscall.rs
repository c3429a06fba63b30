//! Owns every raw system call of the crate, and with them all of its `unsafe`. Decides nothing.

pub(crate) mod ethtool;
pub(crate) mod packet;
pub(crate) mod repair;
