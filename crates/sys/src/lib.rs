//! What halfopen reads from and asks of the Linux kernel.

mod netns;
mod survey;
pub mod wire;

pub use netns::{Census, HiddenNamespaces, Netns, NetnsError, census};
pub use survey::{NamespaceSeen, Scope, Survey, Unseen};
