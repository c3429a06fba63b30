//! TCP connections for tokio that cannot hang.
#![forbid(unsafe_code)]

mod connect;
mod copy;
mod death;
mod detect;
mod halves;
#[cfg(target_os = "linux")]
mod hangup;
mod watched;

pub use connect::{Connect, ConnectError, Failure, Target};
pub use copy::{Copied, CopyEnd, CopyOptions, Side, copy_bidirectional};
pub use death::{Dead, Evidence};
pub use detect::{DetectError, DetectWithin, Detection, Learns, Objective};
pub use halves::{
    Lingered, ReceiveState, Receiving, SendState, Sending, StillSending, halves, lingering_close,
};
#[cfg(target_os = "linux")]
pub use hangup::{Check, Ended, Liveness, broken, closed};
pub use watched::{Watch, Watched};
