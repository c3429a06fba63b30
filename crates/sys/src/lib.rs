//! What halfopen reads from and asks of the Linux kernel.

mod netns;
pub mod offload;
mod packet;
pub mod silence;
mod survey;
mod syscall;

pub use netns::{Census, HiddenNamespaces, Netns, NetnsError, census};
pub use packet::{PacketError, PacketSocket, Received};
pub use survey::{NamespaceSeen, Scope, Survey, Unseen};
