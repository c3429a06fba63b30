//! What halfopen reads from and asks of the Linux kernel: [`survey()`] looks at every connection of
//! the host, and the other modules are its parts, each usable alone.
//!
//! ```
//! use halfopen_sys::{Scope, survey};
//!
//! let survey = survey(&Scope::Current)?;
//! println!("{}: {} connections", survey.host, survey.observations.len());
//! for unseen in &survey.unseen {
//!     println!("not seen: {}: {}", unseen.what, unseen.why);
//! }
//! # Ok::<(), halfopen_sys::SurveyError>(())
//! ```
//!
//! # What this crate does not do
//! It judges nothing (see `halfopen-core`), has no async runtime, and changes nothing on the host but
//! what [`set_options`] and [`bpf::future`] are told to set and [`destroy`] to end, and what a [`probe`] has to touch for a
//! moment, which [`restore()`] puts back even after a crash; [`silence`] and [`offload`] are for the
//! hosts that a lab has made, in namespaces of their own.

pub mod activation;
mod backlog;
mod boottime;
pub mod bpf;
pub mod cgroup;
mod conntrack;
mod conversation;
mod counters;
pub mod destroy;
#[doc(hidden)]
pub mod fuzzing;
mod holder;
mod journal;
mod listeners;
mod met;
mod netns;
pub mod offload;
pub mod options;
pub mod own;
mod owners;
mod packet;
mod pieces;
mod privilege;
pub mod probe;
mod progress;
mod samples;
mod scatter;
pub mod set_options;
pub mod silence;
mod socket_diag;
mod sources;
pub mod stream;
mod survey;
mod syscall;
mod sysctls;
mod tick;
pub mod wire;

pub use backlog::{backlog_drops, backlog_max};
pub use boottime::{boot_id, now};
pub use conntrack::{Activity, Conntrack, ConntrackError, TrackingSeen, tracking};
pub use counters::{Counters, CountersError, counters};
pub use destroy::{DestroyError, ShutDownError, Shutter};
pub use journal::{JournalError, Restored, restore};
pub use netns::{Census, HiddenNamespaces, Netns, NetnsError, census};
pub use options::OptionsError;
pub use owners::{OwnerTable, OwnersError, owners, unit_of};
pub use packet::{PacketError, PacketSocket, Received};
pub use privilege::{Privilege, privilege};
pub use progress::sockets_read;
pub use socket_diag::{Dump, SocketDiag, SocketDiagError};
pub use sources::{Sources, tcp_sockets_here};
pub use survey::{
    About, Ask, NamespaceSeen, Scope, Survey, SurveyError, Unseen, look_up, survey, survey_each,
    survey_from,
};
pub use sysctls::sysctls;
pub use tick::tick;
