//! What halfopen reads from and asks of the Linux kernel.

mod survey;

pub use survey::{NamespaceSeen, Scope, Survey, Unseen};
