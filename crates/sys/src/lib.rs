//! What halfopen reads from and asks of the Linux kernel.

mod boottime;
mod counters;
mod netns;
pub mod offload;
pub mod options;
mod owners;
mod packet;
pub mod silence;
mod socket_diag;
mod survey;
mod syscall;
mod sysctls;
mod tick;
pub mod wire;

pub use boottime::now;
pub use counters::{Counters, CountersError, counters};
pub use netns::{Census, HiddenNamespaces, Netns, NetnsError, census};
pub use options::OptionsError;
pub use owners::{OwnerTable, OwnersError, owners, unit_of};
pub use packet::{PacketError, PacketSocket, Received};
pub use socket_diag::{Dump, SocketDiag, SocketDiagError};
pub use survey::{NamespaceSeen, Scope, Survey, Unseen};
pub use sysctls::sysctls;
pub use tick::tick;
