//! Owns the compiled program that sets options, and its map. Sets nothing itself.
//! Read: bpf/keep.bpf.c, from which `cargo xtask bpf` compiles.

#[cfg(not(feature = "bpf"))]
pub(super) use without::{Loaded, load};

#[cfg(feature = "bpf")]
pub(super) use with_libbpf::{Loaded, load};

#[cfg(not(feature = "bpf"))]
mod without {
    use std::os::fd::BorrowedFd;

    use super::super::super::BpfError;

    /// There is none in this build.
    #[derive(Debug)]
    pub(in super::super) enum Loaded {}

    pub(in super::super) fn load(_sockets: u32) -> Result<Loaded, BpfError> {
        Err(BpfError::NotBuilt)
    }

    impl Loaded {
        pub(in super::super) fn put(&self, _: &[u8], _: &[u8], _: usize) -> Result<(), BpfError> {
            match *self {}
        }

        pub(in super::super) fn link(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}

#[cfg(feature = "bpf")]
mod with_libbpf {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use libbpf_rs::{Error, MapCore, MapFlags, MapHandle, ObjectBuilder};

    use super::super::super::{
        BpfError,
        object::{iterator, quietly},
    };

    /// The attached iterator and the map that names its sockets. Both live as long as these.
    #[derive(Debug)]
    pub(in super::super) struct Loaded {
        link: OwnedFd,
        plans: MapHandle,
    }

    pub(in super::super) fn load(sockets: u32) -> Result<Loaded, BpfError> {
        quietly(|| attach(sockets))
    }

    fn attach(sockets: u32) -> Result<Loaded, Error> {
        let mut builder = ObjectBuilder::default();
        let mut open = builder.name("halfopen")?.open_memory(OBJECT)?;
        for mut map in open.maps_mut() {
            map.set_max_entries(sockets)?;
        }
        let mut object = open.load()?;
        let Some(plans) = object.maps().find(|map| map.name() == "plans") else {
            return Err(std::io::Error::other("no map plans").into());
        };
        let plans = MapHandle::try_from(&plans)?;
        Ok(Loaded { link: iterator(&mut object, "keep")?, plans })
    }

    impl Loaded {
        /// Puts so many plans into the map, keys and values each one behind the other.
        pub(in super::super) fn put(
            &self,
            keys: &[u8],
            plans: &[u8],
            count: usize,
        ) -> Result<(), BpfError> {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            if count == 0 {
                return Ok(());
            }
            quietly(|| self.plans.update_batch(keys, plans, count, MapFlags::ANY, MapFlags::ANY))
        }

        pub(in super::super) fn link(&self) -> BorrowedFd<'_> {
            self.link.as_fd()
        }
    }

    static OBJECT: &[u8] = include_bytes!("../../../bpf/keep.bpf.o");
}
