//! Owns the compiled program of the future: in the kernel, in a cgroup, and found again there by its
//! name. Knows nothing of what its maps mean. Read: bpf/future.bpf.c; bpf(2).

#[cfg(not(feature = "bpf"))]
pub(super) use without::{Loaded, among, attached_to, load, programs};

#[cfg(feature = "bpf")]
pub(super) use with_libbpf::{Loaded, among, attached_to, load, programs};

#[cfg(not(feature = "bpf"))]
mod without {
    use super::super::{BpfError, Cgroup, FutureError};

    /// There is none in this build.
    #[derive(Debug)]
    pub(in super::super) enum Loaded {}

    pub(in super::super) fn load(_wanted: &[u8]) -> Result<Loaded, BpfError> {
        Err(BpfError::NotBuilt)
    }

    pub(in super::super) fn attached_to(_: &Cgroup) -> Result<Option<Loaded>, FutureError> {
        Err(BpfError::NotBuilt.into())
    }

    pub(in super::super) fn programs() -> Result<Vec<Loaded>, BpfError> {
        Err(BpfError::NotBuilt)
    }

    pub(in super::super) fn among(_: &[Loaded], _: &Cgroup) -> Result<Option<Loaded>, FutureError> {
        Ok(None)
    }

    impl Loaded {
        pub(in super::super) fn attach(&self, _: &Cgroup) -> Result<(), FutureError> {
            match *self {}
        }

        pub(in super::super) fn detach(&self, _: &Cgroup) -> Result<(), FutureError> {
            match *self {}
        }

        pub(in super::super) fn set_wanted(&self, _: &[u8]) -> Result<(), BpfError> {
            match *self {}
        }

        pub(in super::super) fn wanted(&self) -> Result<Vec<u8>, BpfError> {
            match *self {}
        }

        pub(in super::super) fn counts(&self) -> Result<Vec<u8>, BpfError> {
            match *self {}
        }

        pub(in super::super) fn remembered(&self, _: i32) -> Result<Option<Vec<u8>>, BpfError> {
            match *self {}
        }

        pub(in super::super) fn forget(&self, _: i32) {
            match *self {}
        }
    }
}

#[cfg(feature = "bpf")]
mod with_libbpf {
    use std::os::fd::{AsFd, OwnedFd};

    use libbpf_rs::{
        Error, MapCore, MapFlags, MapHandle, ObjectBuilder, Program,
        query::{ProgInfoIter, ProgInfoQueryOptions},
    };
    use rustix::io::Errno;

    use super::super::{
        super::object::quietly,
        {BpfError, Cgroup, FutureError},
    };
    use crate::syscall::bpf::{attach_sock_ops, attached_sock_ops, detach_sock_ops};

    /// A program and its maps. They live as long as this, or as the program is attached.
    #[derive(Debug)]
    pub(in super::super) struct Loaded {
        program: OwnedFd,
        wanted: MapHandle,
        counts: MapHandle,
        remembered: MapHandle,
    }

    /// A program of ours that is in the kernel: its number, and those of its maps.
    pub(in super::super) struct Known {
        program: u32,
        maps: Vec<u32>,
    }

    pub(in super::super) fn load(wanted: &[u8]) -> Result<Loaded, BpfError> {
        quietly(|| {
            let object = ObjectBuilder::default().name("halfopen")?.open_memory(OBJECT)?.load()?;
            let maps = object.maps().map(|map| MapHandle::try_from(&map));
            let maps = maps.collect::<Result<Vec<_>, _>>()?;
            let Some(program) = object.progs_mut().find(|program| program.name() == NAME) else {
                return Err(absent("program"));
            };
            let loaded = Loaded::of(program.as_fd().try_clone_to_owned()?, maps)?;
            loaded.wanted.update(&FIRST, wanted, MapFlags::ANY)?;
            Ok(loaded)
        })
    }

    /// Every program of ours in the kernel.
    pub(in super::super) fn programs() -> Result<Vec<Known>, BpfError> {
        quietly(|| {
            let query = ProgInfoQueryOptions::default().include_map_ids(true);
            let ours = ProgInfoIter::with_query_opts(query).filter(|info| info.name == NAME);
            Ok(ours.map(|info| Known { program: info.id, maps: info.map_ids }).collect())
        })
    }

    pub(in super::super) fn attached_to(cgroup: &Cgroup) -> Result<Option<Loaded>, FutureError> {
        among(&programs()?, cgroup)
    }

    /// The one of `known` that is attached to `cgroup`.
    pub(in super::super) fn among(
        known: &[Known],
        cgroup: &Cgroup,
    ) -> Result<Option<Loaded>, FutureError> {
        let attached = match attached_sock_ops(cgroup.as_fd()) {
            // It was removed meanwhile.
            Err(Errno::NODEV | Errno::BADF) => return Ok(None),
            attached => attached.map_err(|errno| refused("look into", cgroup, errno))?,
        };
        let Some(ours) = known.iter().find(|one| attached.contains(&one.program)) else {
            return Ok(None);
        };
        let found = quietly(|| {
            let maps = ours.maps.iter().map(|id| MapHandle::from_map_id(*id));
            Loaded::of(Program::fd_from_id(ours.program)?, maps.collect::<Result<Vec<_>, _>>()?)
        });
        Ok(Some(found?))
    }

    impl Loaded {
        fn of(program: OwnedFd, maps: Vec<MapHandle>) -> Result<Self, Error> {
            let (mut wanted, mut counts, mut remembered) = (None, None, None);
            for map in maps {
                match map.name().to_str() {
                    Some("wanted") => wanted = Some(map),
                    Some("counts") => counts = Some(map),
                    Some("remembered") => remembered = Some(map),
                    _ => {}
                }
            }
            let (Some(wanted), Some(counts), Some(remembered)) = (wanted, counts, remembered)
            else {
                return Err(absent("map"));
            };
            Ok(Self { program, wanted, counts, remembered })
        }

        pub(in super::super) fn attach(&self, cgroup: &Cgroup) -> Result<(), FutureError> {
            attach_sock_ops(cgroup.as_fd(), self.program.as_fd())
                .map_err(|errno| refused("attach the program to", cgroup, errno))
        }

        pub(in super::super) fn detach(&self, cgroup: &Cgroup) -> Result<(), FutureError> {
            match detach_sock_ops(cgroup.as_fd(), self.program.as_fd()) {
                // Somebody else was faster.
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(refused("take the program from", cgroup, errno)),
            }
        }

        pub(in super::super) fn set_wanted(&self, wanted: &[u8]) -> Result<(), BpfError> {
            quietly(|| self.wanted.update(&FIRST, wanted, MapFlags::ANY))
        }

        pub(in super::super) fn wanted(&self) -> Result<Vec<u8>, BpfError> {
            first_of(&self.wanted)
        }

        pub(in super::super) fn counts(&self) -> Result<Vec<u8>, BpfError> {
            first_of(&self.counts)
        }

        /// What the program remembers of the socket that is our descriptor `fd`.
        pub(in super::super) fn remembered(&self, fd: i32) -> Result<Option<Vec<u8>>, BpfError> {
            quietly(|| self.remembered.lookup(&fd.to_ne_bytes(), MapFlags::ANY))
        }

        pub(in super::super) fn forget(&self, fd: i32) {
            // What stays remembered is found as it was before, and only counted once more.
            let _ = self.remembered.delete(&fd.to_ne_bytes());
        }
    }

    fn first_of(map: &MapHandle) -> Result<Vec<u8>, BpfError> {
        quietly(|| map.lookup(&FIRST, MapFlags::ANY)?.ok_or_else(|| absent("entry")))
    }

    fn absent(what: &str) -> Error {
        std::io::Error::other(format!("no such {what} in the object")).into()
    }

    fn refused(what: &'static str, cgroup: &Cgroup, cause: Errno) -> FutureError {
        FutureError::Refused { what, cgroup: cgroup.name().to_owned(), cause }
    }

    /// The key of a map of one entry.
    const FIRST: [u8; 4] = [0; 4];
    /// As long as the kernel keeps names (BPF_OBJ_NAME_LEN), so that it is found again.
    const NAME: &str = "halfopen_future";
    static OBJECT: &[u8] = include_bytes!("../../../bpf/future.bpf.o");
}
