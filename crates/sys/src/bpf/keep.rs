//! Owns the setting of the options that keep connections, on very many sockets at once, by a BPF
//! iterator under each socket's own lock. Decides nothing; `set_options` does the same one by one.
//! Read: bpf/keep.bpf.c, whose layouts are repeated here.

mod object;

use std::collections::HashMap;

use halfopen_core::{ConnectionId, keeping::KeepOptions};
use rustix::io::Errno;

use super::{BpfError, reading::read_each};
use crate::set_options::{NotSet, Setting};
use object::Loaded;

/// The program, loaded and attached, with room for so many sockets.
#[derive(Debug)]
pub struct Keeper(Loaded);

impl Keeper {
    /// Loads the program with room for `sockets` settings. CAP_BPF, CAP_PERFMON and, since it
    /// changes sockets, CAP_NET_ADMIN are needed.
    ///
    /// # Errors
    /// As [`super::Bpf::open`]; [`BpfError::Unusable`] on kernels that do not let iterators set
    /// options (before 6.1).
    pub fn open(sockets: usize) -> Result<Self, BpfError> {
        let sockets = u32::try_from(sockets.max(1)).unwrap_or(u32::MAX);
        Ok(Self(object::load(sockets)?))
    }

    /// Sets them all, in the calling thread's network namespace, and says of each what came of it,
    /// in their order. Settings of sockets elsewhere are [`NotSet::Gone`].
    ///
    /// # Errors
    /// [`BpfError::Read`] where the iterator breaks off; some may be set then.
    pub fn set(&self, settings: &[Setting]) -> Result<Vec<Result<(), NotSet>>, BpfError> {
        let (mut keys, mut plans) = (Vec::new(), Vec::new());
        for setting in settings {
            keys.extend(key(setting.id));
            plans.extend(options(&setting.expected).into_iter().flatten());
            plans.extend(options(&setting.wanted).into_iter().flatten());
        }
        self.0.put(&keys, &plans, settings.len())?;
        let mut outcomes = HashMap::with_capacity(settings.len());
        read_each::<OUTCOME_LENGTH>(self.0.link(), |bytes| {
            outcomes.extend(outcome(bytes));
        })?;
        let mut of =
            |setting: &Setting| outcomes.remove(&setting.id.cookie.0).unwrap_or(Err(NotSet::Gone));
        Ok(settings.iter().map(&mut of).collect())
    }
}

/// `struct key`.
fn key(id: ConnectionId) -> [u8; KEY_LENGTH] {
    let mut key = [0; KEY_LENGTH];
    // Numbers of namespaces are those of proc's inodes, which are of 32 bits.
    let netns = u32::try_from(id.netns.0).unwrap_or(0);
    let bytes = id.cookie.0.to_ne_bytes().into_iter().chain(netns.to_ne_bytes());
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    key
}

/// `struct options`.
fn options(options: &KeepOptions) -> [[u8; 4]; 5] {
    let KeepOptions { keepalive, idle_s, interval_s, probes, user_timeout_ms } = *options;
    [u32::from(keepalive), idle_s, interval_s, probes, user_timeout_ms].map(u32::to_ne_bytes)
}

/// `struct outcome`; `None` where there are fewer bytes.
fn outcome(bytes: &[u8]) -> Option<(u64, Result<(), NotSet>)> {
    let (cookie, rest) = bytes.split_first_chunk()?;
    let (what, _) = rest.split_first_chunk()?;
    let what = match i32::from_ne_bytes(*what) {
        0 => Ok(()),
        1 => Err(NotSet::NotOpen),
        2 => Err(NotSet::Changed),
        3 => Err(NotSet::Halfway),
        4 => Err(NotSet::NotTaken),
        errno => Err(NotSet::Refused(Errno::from_raw_os_error(errno.saturating_neg()))),
    };
    Some((u64::from_ne_bytes(*cookie), what))
}

const KEY_LENGTH: usize = 16;
const OUTCOME_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use halfopen_core::{Cookie, NetnsId};

    use super::*;

    #[test]
    fn a_key_is_cookie_and_namespace() {
        let id = ConnectionId { cookie: Cookie(0x1234), netns: NetnsId(4_026_531_840) };
        let bytes = key(id);
        assert_eq!(bytes.split_at(8).0, 0x1234u64.to_ne_bytes());
        assert_eq!(bytes.split_at(8).1.split_at(4).0, 4_026_531_840u32.to_ne_bytes());
    }

    #[test]
    fn an_outcome_is_read_back_and_half_an_outcome_is_none() {
        let bytes = |what: i32| [7u64.to_ne_bytes(), u64::from(what as u32).to_le_bytes()].concat();
        assert_eq!(outcome(&bytes(0)), Some((7, Ok(()))));
        assert_eq!(outcome(&bytes(2)), Some((7, Err(NotSet::Changed))));
        assert_eq!(outcome(&bytes(-22)), Some((7, Err(NotSet::Refused(Errno::INVAL)))));
        assert_eq!(outcome(&bytes(0)[..11]), None);
    }
}
