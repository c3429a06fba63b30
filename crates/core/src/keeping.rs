//! Owns the way from an objective ("detect within 60 s") to socket options, and what they cost and
//! harm. Sets nothing. Read: tcp(7), linux net/ipv4/tcp_timer.c; docs/detection-time.md.

mod future;
mod kept;
mod past;
mod plan;
mod spread;

pub use future::Future;
pub use kept::KeepOptions;
pub use past::{Change, Past};
pub use plan::{Harm, Objective, Plan, Planned, Refusal, keepalive_for, plan, times};
pub use spread::{Crowd, Spread};
