//! Owns who holds each socket of a survey, what options they gave it, and the account of what
//! could not be read. Read: `owners` and `options`, which do the reading.

use std::collections::{BTreeMap, HashMap};

use halfopen_core::{Cookie, OptionsSeen, Owner, Owners, Sample, SocketOptions};

use super::Unseen;
use crate::{
    bpf::{descriptor::Descriptor, record::Beyond},
    options::{self, OptionsError},
    owners::{OwnerTable, owners},
};

/// Options are read for at most this many sockets of one survey. A read takes some 20 µs (measured
/// on two busy cores), so these take half a second. More would make a look at a host with hundreds
/// of thousands of sockets a load of its own.
const OPTIONS_MAX: usize = 20_000;

/// The holders of sockets, looked for once for all of them.
pub(super) struct Holders {
    table: OwnerTable,
    /// Why nobody's sockets could be seen at all.
    failure: Option<String>,
    options_left: usize,
    /// How many sockets each lack of sight concerns: what it hides, and why.
    missed: BTreeMap<(&'static str, String), usize>,
}

impl Holders {
    /// The holders of the wanted sockets: from the descriptors of the whole host where those were
    /// listed, else looked for in /proc.
    pub(super) fn find<'a>(
        wanted: impl Iterator<Item = (&'a Sample, &'a Beyond)>,
        descriptors: Option<Vec<Descriptor>>,
    ) -> Self {
        let (table, failure) = match descriptors {
            Some(descriptors) => (join(wanted, descriptors), None),
            None => match owners(&wanted.filter_map(|(sample, _)| sample.inode).collect()) {
                Ok(table) => (table, None),
                Err(error) => (OwnerTable::default(), Some(error.to_string())),
            },
        };
        Self { table, failure, options_left: OPTIONS_MAX, missed: BTreeMap::new() }
    }

    /// Who holds the socket, and its options through the first of them who lets us.
    pub(super) fn of(
        &mut self,
        sample: &Sample,
        options: Option<SocketOptions>,
    ) -> (Owners, OptionsSeen) {
        let told = options.map(OptionsSeen::Read);
        let Some(inode) = sample.inode else {
            // Mini sockets have no options; other sockets without a file do.
            if sample.info.is_some() && told.is_none() {
                self.miss("options", NOBODY_TO_ASK.to_owned());
            }
            let unread = || OptionsSeen::Unread("no process holds it".to_owned());
            return (Owners::None, told.unwrap_or_else(unread));
        };
        let found = self.table.take(inode);
        if found.is_empty() {
            let why = self.why_unseen();
            let what = if told.is_some() { "owners" } else { "owners and options" };
            self.miss(what, why.clone());
            let unread = || OptionsSeen::Unread(format!("its owner was not seen: {why}"));
            let options = told.unwrap_or_else(unread);
            return (Owners::Unseen(why), options);
        }
        let options = told.unwrap_or_else(|| self.options(&found, sample.id.cookie));
        (Owners::Known(found), options)
    }

    fn why_unseen(&self) -> String {
        match (&self.failure, self.table.refused) {
            (Some(failure), _) => failure.clone(),
            (None, 0) => "no process that we can see holds it; it may have been closed meanwhile, \
                          or belong to the kernel, io_uring or another pid namespace"
                .to_owned(),
            (None, refused) => format!(
                "{refused} processes, as a rule of other users, may not be looked into: needs \
                 CAP_SYS_PTRACE (run as root)"
            ),
        }
    }

    fn options(&mut self, owners: &[Owner], cookie: Cookie) -> OptionsSeen {
        let Some(left) = self.options_left.checked_sub(1) else {
            let why = format!("options are read of {OPTIONS_MAX} sockets at most");
            self.miss("options", format!("{why}; select fewer connections"));
            return OptionsSeen::Unread(why);
        };
        self.options_left = left;
        let mut refusal = None;
        for owner in owners {
            match options::of_process(owner.pid, owner.fd, cookie) {
                Ok(options) => return OptionsSeen::Read(options),
                Err(error) => refusal = Some(error),
            }
        }
        let Some(error) = refusal else {
            return OptionsSeen::Unread("no process holds it".to_owned());
        };
        self.miss("options", summary(&error));
        OptionsSeen::Unread(error.to_string())
    }

    fn miss(&mut self, what: &'static str, why: String) {
        *self.missed.entry((what, why)).or_default() += 1;
    }

    /// Whether anything was missed.
    pub(super) fn missed_some(&self) -> bool {
        !self.missed.is_empty()
    }

    /// The account of what was missed.
    pub(super) fn unseen(self) -> impl Iterator<Item = Unseen> {
        self.missed.into_iter().map(|((what, why), count)| {
            let sockets = if count == 1 { "socket" } else { "sockets" };
            Unseen { what: format!("{what} of {count} {sockets}"), why }
        })
    }
}

/// The owners of the wanted sockets, by the address that descriptors and sockets have in common.
fn join<'a>(
    wanted: impl Iterator<Item = (&'a Sample, &'a Beyond)>,
    descriptors: Vec<Descriptor>,
) -> OwnerTable {
    let inodes: HashMap<u64, u64> =
        wanted.filter_map(|(sample, beyond)| Some((beyond.socket?, sample.inode?))).collect();
    let held = descriptors.into_iter().filter_map(|Descriptor { socket, pid, fd }| {
        inodes.get(&socket).map(|inode| (pid, fd, *inode))
    });
    OwnerTable::from_held(held.collect())
}

/// The error without what differs from socket to socket, so that its cases can be counted.
fn summary(error: &OptionsError) -> String {
    match error {
        OptionsError::Refused { .. } => {
            "their processes may not be looked into: needs CAP_SYS_PTRACE (run as root)".to_owned()
        }
        OptionsError::Gone { .. } | OptionsError::AnotherSocket { .. } => {
            "they were closed meanwhile; look again".to_owned()
        }
        OptionsError::Read { cause, .. } => format!("they could not be read: {cause}"),
        unsupported => unsupported.to_string(),
    }
}

const NOBODY_TO_ASK: &str = "no process holds them: not accepted yet, or closed and finishing; \
                             only BPF could read them (`--source bpf`)";
