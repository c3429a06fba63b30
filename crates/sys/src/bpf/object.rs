//! Owns the compiled BPF programs and how they get into the kernel. Reads no socket.
//! Read: linux Documentation/bpf/libbpf; bpf/sockets.bpf.c, from which `cargo xtask bpf` compiles.

use std::os::fd::OwnedFd;

use super::BpfError;

/// The attached iterators: each lives as long as its descriptor, and so do the programs.
pub(super) struct Loaded {
    pub(super) sockets: OwnedFd,
    pub(super) descriptors: OwnedFd,
}

#[cfg(not(feature = "bpf"))]
pub(super) fn load() -> Result<Loaded, BpfError> {
    Err(BpfError::NotBuilt)
}

#[cfg(feature = "bpf")]
pub(super) use with_libbpf::load;

#[cfg(feature = "bpf")]
mod with_libbpf {
    use std::os::fd::{AsFd, OwnedFd};

    use libbpf_rs::{ErrorKind, Object, ObjectBuilder, set_print};

    use super::{BpfError, Loaded};

    pub(in super::super) fn load() -> Result<Loaded, BpfError> {
        // libbpf would write its complaints to standard error; ours come as errors.
        let printed_before = set_print(None);
        let loaded = attach();
        set_print(printed_before);
        loaded.map_err(|error| refusal(&error))
    }

    fn attach() -> Result<Loaded, libbpf_rs::Error> {
        let mut builder = ObjectBuilder::default();
        let mut object = builder.name("halfopen")?.open_memory(OBJECT)?.load()?;
        Ok(Loaded {
            sockets: iterator(&mut object, "sockets")?,
            descriptors: iterator(&mut object, "descriptors")?,
        })
    }

    /// Attaches a program. The kernel keeps it for as long as the descriptor of its link is open.
    fn iterator(object: &mut Object, name: &str) -> Result<OwnedFd, libbpf_rs::Error> {
        let Some(program) = object.progs_mut().find(|program| program.name() == name) else {
            return Err(std::io::Error::other(format!("no program {name}")).into());
        };
        Ok(program.attach()?.as_fd().try_clone_to_owned()?)
    }

    fn refusal(error: &libbpf_rs::Error) -> BpfError {
        let cause = error.to_string();
        match error.kind() {
            ErrorKind::PermissionDenied => BpfError::Refused { cause },
            _ => BpfError::Unusable { cause },
        }
    }

    static OBJECT: &[u8] = include_bytes!("../../bpf/sockets.bpf.o");
}
