//! Owns the way from selectors to a picture: what to look at, the look itself, and what a refusal means.

use halfopen_core::Thresholds;
use halfopen_sys::SurveyError;
use jiff::{Timestamp, Unit};

use crate::{
    args::{Judging, SortKey},
    exit::Failure,
    picture::Picture,
    select::Selection,
};

/// What to look at, how to judge it, and in which order to show it.
#[derive(Debug, Clone)]
pub struct Look {
    /// Which connections.
    pub selection: Selection,
    /// What counts as what.
    pub thresholds: Thresholds,
    /// In which order.
    pub sort: SortKey,
}

impl Look {
    /// With the user's thresholds in place of the defaults.
    pub fn new(selection: Selection, judging: &Judging, sort: SortKey) -> Self {
        let mut thresholds = Thresholds::default();
        if let Some(within) = judging.alive_within {
            thresholds.alive_within = within.0;
        }
        Self { selection, thresholds, sort }
    }

    /// Looks at the host once.
    ///
    /// # Errors
    /// [`Failure`] where the kernel refuses, or where the namespace that was named is not there.
    pub fn take(&self) -> Result<Picture, Failure> {
        let now = Timestamp::now();
        let taken_at = now.round(Unit::Millisecond).unwrap_or(now);
        let survey = halfopen_sys::survey(&self.selection.scope()).map_err(|error| refused(&error))?;
        let picture =
            Picture::new(survey, taken_at, &self.selection, &self.thresholds, self.sort);
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
