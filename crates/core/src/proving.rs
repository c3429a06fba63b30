//! Owns proof by probing: which probe fits a connection, when to send the next, and what an answer
//! or its absence proves. Sends nothing. Read: RFC 9293 sections 3.5.1 and 3.8.4, RFC 5961;
//! linux net/ipv4/tcp_output.c `tcp_send_window_probe`, tcp_timer.c `tcp_keepalive_timer`;
//! docs/tasks/my-client-hangs.md.

mod attempt;
mod choice;

pub use attempt::{Attempt, Next, Outcome, Patience, Sight};
pub use choice::{Means, Method, Unprovable, choose, patience_for, testable};
