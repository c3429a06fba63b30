//! Owns the model of who holds a connection.
//! A host with 100,000 connections has few processes: what is said of one is shared, not repeated.

use std::{fmt, ops::Deref, slice, sync::Arc};

/// A process that holds connections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number, as seen from our own pid namespace.
    pub pid: u32,
    /// `/proc/PID/comm`.
    pub command: String,
    /// Its effective user.
    pub uid: Option<u32>,
    /// Its cgroup path, as in `/proc/PID/cgroup`.
    pub cgroup: Option<String>,
    /// The container or systemd unit that the cgroup path names, e.g. `nginx.service`.
    pub unit: Option<String>,
}

/// One process that holds a descriptor of the socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The process.
    pub process: Arc<Process>,
    /// The descriptor number in that process.
    pub fd: u32,
}

/// The owners of one socket, read as a slice. As a rule there is one, who takes no memory elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnerList(Entries);

#[derive(Clone, PartialEq, Eq)]
enum Entries {
    One(Owner),
    OtherNumber(Box<[Owner]>),
}

impl Deref for OwnerList {
    type Target = [Owner];

    fn deref(&self) -> &[Owner] {
        match &self.0 {
            Entries::One(owner) => slice::from_ref(owner),
            Entries::OtherNumber(owners) => owners,
        }
    }
}

impl FromIterator<Owner> for OwnerList {
    fn from_iter<T: IntoIterator<Item = Owner>>(owners: T) -> Self {
        let mut owners = owners.into_iter();
        Self(match (owners.next(), owners.next()) {
            (Some(one), None) => Entries::One(one),
            (first, second) => {
                Entries::OtherNumber(first.into_iter().chain(second).chain(owners).collect())
            }
        })
    }
}

impl fmt::Debug for OwnerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What is known of the owners of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// These processes hold it. Never empty.
    Known(OwnerList),
    /// The kernel says that no file refers to the socket.
    None,
    /// A file refers to it, but we could not see whose; the reason fits after "owner unknown: ".
    Unseen(Arc<str>),
}

impl Owners {
    /// The owners that could be seen.
    pub fn seen(&self) -> &[Owner] {
        match self {
            Self::Known(owners) => owners,
            Self::None | Self::Unseen(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_listed_in_the_order_that_they_came_in_however_many() {
        let process = Arc::new(Process {
            pid: 1,
            command: "init".to_owned(),
            uid: None,
            cgroup: None,
            unit: None,
        });
        for count in 0..4 {
            let owners: Vec<_> =
                (0..count).map(|fd| Owner { process: Arc::clone(&process), fd }).collect();
            let list: OwnerList = owners.iter().cloned().collect();
            assert_eq!(*list, *owners);
        }
        assert_eq!(size_of::<Owners>(), size_of::<Owner>() + size_of::<usize>());
    }
}
