//! TCP connections for tokio that cannot hang.
#![forbid(unsafe_code)]

mod connect;
mod detect;

pub use connect::{Connect, ConnectError, Failure, Target};
pub use detect::{DetectError, DetectWithin, Detection, Learns, Objective};
