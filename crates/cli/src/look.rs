//! Owns the way from selectors to a picture: what to look at, the look itself, and what a refusal means.

use std::io::ErrorKind;

use halfopen_core::Thresholds;
use halfopen_sys::{Ask, NetnsError, SocketDiagError, Sources, SurveyError, bpf::BpfError};
use jiff::Timestamp;

use crate::{
    args::{Judging, Looking, SortKey, SourceKey},
    exit::Failure,
    long_look::LongLook,
    picture::{Bench, Judged, Picture},
    select::Selection,
};

/// Whose options are read through their owners, where the source does not tell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionsOf {
    /// Those of many connections, but not of very many: it is only a look.
    Many,
    /// Those of every connection that is meant.
    TheChosen,
}

/// What to look at, how to judge it, and in which order to show it.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Which connections.
    pub selection: Selection,
    /// What counts as what.
    pub thresholds: Thresholds,
    /// In which order.
    pub sort: SortKey,
    /// Where connections are read from.
    pub sources: Sources,
    /// Look for the processes that hold connections.
    pub owners: bool,
    /// Whose options are read where the source does not tell them.
    pub options: OptionsOf,
    /// Remember every socket, also those that are not meant, so that a later look can tell which
    /// are gone.
    pub remembers: bool,
}

impl Look {
    /// With the user's thresholds in place of the defaults.
    pub(crate) fn new(
        selection: Selection,
        looking: &Looking,
        judging: &Judging,
        sort: SortKey,
    ) -> Self {
        let mut thresholds = Thresholds::default();
        if let Some(within) = judging.alive_within {
            thresholds.alive_within = within.0;
        }
        let sources = match looking.source {
            SourceKey::Auto => Sources::Auto,
            SourceKey::SockDiag => Sources::SockDiag,
            SourceKey::Bpf => Sources::Bpf,
        };
        Self {
            owners: !looking.no_owners || selection.needs_owners(),
            selection,
            thresholds,
            sort,
            sources,
            options: OptionsOf::Many,
            remembers: false,
        }
    }

    /// The same for who is going to act: the options of every connection that is meant are read, and
    /// of no other.
    #[must_use]
    pub(crate) const fn of_the_chosen(mut self) -> Self {
        self.options = OptionsOf::TheChosen;
        self
    }

    /// The same, remembering every socket for the next look.
    #[must_use]
    pub(crate) const fn remembering(mut self) -> Self {
        self.remembers = true;
        self
    }

    /// Looks at the host once.
    ///
    /// # Errors
    /// [`Failure`] where the kernel refuses, or where the namespace that was named is not there.
    pub(crate) fn take(&self) -> Result<Picture, Failure> {
        let scope = self.selection.scope();
        let long = LongLook::begin(&scope);
        let taken_at = Timestamp::now();
        let (sources, is_only_a_look) = (self.sources, self.options == OptionsOf::Many);
        let (owners, options, siblings) = (self.owners, is_only_a_look, !is_only_a_look);
        let ask = Ask { scope, sources, owners, options, siblings };
        let take = |bench: &mut Bench<'_>, piece: Vec<_>| {
            long.judged(piece.len());
            bench.take(piece);
        };
        let (survey, parts) = halfopen_sys::survey_each(&ask, || Bench::new(self), take)
            .map_err(|error| refused(&error))?;
        let mut judged = Judged::default();
        parts.into_iter().for_each(|part| judged.add(part.done()));
        let picture = Picture::new(survey, judged, taken_at, self);
        if self.selection.needs_owners()
            && picture.connections.is_empty()
            && picture.hidden.loopback == 0
            && picture.owners_unseen > 0
        {
            return Err(Failure::Privilege(format!(
                "cannot tell which connections are meant: the owners of {} connections are hidden \
                 from this user; run it as root (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)",
                picture.owners_unseen
            )));
        }
        Ok(picture)
    }
}

/// What a refusal means for the user: a wrong name, too little privilege, or a system that cannot.
fn refused(error: &SurveyError) -> Failure {
    let sentence = format!("cannot {error}");
    let cause = match error {
        SurveyError::Namespace(error) | SurveyError::Samples(SocketDiagError::Namespace(error)) => {
            match error {
                NetnsError::NotANetns { .. } | NetnsError::NoSuchName { .. } => {
                    return Failure::Usage(sentence);
                }
                NetnsError::Open { cause, .. } if cause.kind() == ErrorKind::NotFound => {
                    return Failure::Usage(sentence);
                }
                NetnsError::Open { cause, .. }
                | NetnsError::Enter { cause, .. }
                | NetnsError::Proc { cause, .. } => Some(cause),
                _ => None,
            }
        }
        SurveyError::Samples(
            SocketDiagError::Open { cause }
            | SocketDiagError::Send { cause }
            | SocketDiagError::Refused { cause },
        ) => Some(cause),
        SurveyError::Bpf(BpfError::Refused { .. }) => return Failure::Privilege(sentence),
        _ => None,
    };
    // EPERM and EACCES both arrive as this kind.
    if cause.is_some_and(|cause| cause.kind() == ErrorKind::PermissionDenied) {
        Failure::Privilege(sentence)
    } else {
        Failure::System(sentence)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::exit::Exit;

    fn exit(error: NetnsError) -> Exit {
        refused(&SurveyError::Namespace(error)).exit()
    }

    #[test]
    fn a_wrong_name_is_the_users_slip_and_a_closed_door_is_privilege() {
        let open =
            |kind| NetnsError::Open { path: "/proc/7/ns/net".into(), cause: io::Error::from(kind) };
        assert_eq!(exit(open(ErrorKind::NotFound)), Exit::Usage);
        assert_eq!(exit(open(ErrorKind::PermissionDenied)), Exit::Privilege);
        assert_eq!(exit(open(ErrorKind::OutOfMemory)), Exit::System);
        assert_eq!(exit(NetnsError::NotANetns { path: "/etc/passwd".into() }), Exit::Usage);
    }
}
