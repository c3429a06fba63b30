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
pub(super) use with_libbpf::{iterator, load, quietly};

#[cfg(feature = "bpf")]
mod with_libbpf {
    use std::os::fd::{AsFd, OwnedFd};

    use libbpf_rs::{Error, ErrorKind, Object, ObjectBuilder, set_print};

    use super::{BpfError, Loaded};

    pub(in super::super) fn load() -> Result<Loaded, BpfError> {
        quietly(attach)
    }

    /// Runs `work` while libbpf, which would complain on standard error, keeps quiet.
    pub(in super::super) fn quietly<T>(
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, BpfError> {
        let printed_before = set_print(None);
        let done = work();
        set_print(printed_before);
        done.map_err(|error| refusal(&error))
    }

    fn attach() -> Result<Loaded, Error> {
        let mut builder = ObjectBuilder::default();
        let mut object = builder.name("halfopen")?.open_memory(OBJECT)?.load()?;
        Ok(Loaded {
            sockets: iterator(&mut object, "sockets")?,
            descriptors: iterator(&mut object, "descriptors")?,
        })
    }

    /// Attaches a program. The kernel keeps it for as long as the descriptor of its link is open.
    pub(in super::super) fn iterator(object: &mut Object, name: &str) -> Result<OwnedFd, Error> {
        let Some(program) = object.progs_mut().find(|program| program.name() == name) else {
            return Err(std::io::Error::other(format!("no program {name}")).into());
        };
        Ok(program.attach()?.as_fd().try_clone_to_owned()?)
    }

    fn refusal(error: &Error) -> BpfError {
        let cause = error.to_string();
        match error.kind() {
            ErrorKind::PermissionDenied => BpfError::Refused { cause },
            _ => BpfError::Unusable { cause },
        }
    }

    static OBJECT: &[u8] = include_bytes!("../../bpf/sockets.bpf.o");
}
