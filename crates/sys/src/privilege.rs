//! Owns what this process may do, by its effective capabilities. Read: capabilities(7).

use rustix::thread::{CapabilitySet, capabilities};

/// Capabilities that tests of connections need. They count in the user namespace of this process;
/// over a namespace that belongs to another, the kernel may refuse all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Privilege {
    /// CAP_NET_ADMIN.
    pub net_admin: bool,
    /// CAP_NET_RAW.
    pub net_raw: bool,
    /// CAP_SYS_PTRACE.
    pub sys_ptrace: bool,
}

/// What the calling thread may do. What cannot be read counts as not allowed.
pub fn privilege() -> Privilege {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    Privilege {
        net_admin: effective.contains(CapabilitySet::NET_ADMIN),
        net_raw: effective.contains(CapabilitySet::NET_RAW),
        sys_ptrace: effective.contains(CapabilitySet::SYS_PTRACE),
    }
}
