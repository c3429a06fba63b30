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

/// What would help to look into a process that may not be looked into, in one clause. Whoever has the
/// capability already is not told to get it.
pub(crate) fn to_look_into_processes() -> &'static str {
    advice(privilege().sys_ptrace, rustix::process::geteuid().is_root())
}

const fn advice(has_capability: bool, is_root: bool) -> &'static str {
    match (has_capability, is_root) {
        // /proc refuses a process that is just ending too.
        (true, _) => {
            "it was ending just then, or a security module or another user namespace protects it; \
             look again"
        }
        (false, true) => "needs CAP_SYS_PTRACE, which root lacks here (a container, as a rule)",
        (false, false) => "needs CAP_SYS_PTRACE (run as root)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_told_to_become_root() {
        assert!(advice(false, false).contains("run as root"));
        for (has_capability, is_root) in [(true, true), (true, false), (false, true)] {
            assert!(!advice(has_capability, is_root).contains("run as root"));
        }
    }
}
