//! Owns the picture: what a survey has seen, judged, chosen and ordered. Every face of the output
//! (text, JSON, frames of `--watch`) is drawn from it. Prints nothing.

use halfopen_core::{Diagnosis, Listener, NetnsId, Owners, Severity, Thresholds};
use halfopen_sys::{NamespaceSeen, Survey, Unseen};
use jiff::Timestamp;

use crate::{args::SortKey, counted::Seen, order, select::Selection, story::Place};

/// One look at the host, ready to be drawn.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// The host's name.
    pub host: String,
    /// When the look began, by the wall clock.
    pub taken_at: Timestamp,
    /// The namespaces that were looked at.
    pub namespaces: Vec<NamespaceSeen>,
    /// The connections that were meant, in order.
    pub connections: Vec<Diagnosis>,
    /// Those that were meant and left out.
    pub hidden: Hidden,
    /// The listeners that were meant.
    pub listeners: Vec<Listener>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
    /// Of how many connections, meant or not, the owner could not be seen.
    pub owners_unseen: usize,
    /// Every socket that was seen, meant or not.
    pub seen: Seen,
}

/// Connections left out because both ends are on this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// How many.
    pub loopback: usize,
    /// How many of them have something wrong.
    pub problems: usize,
}

impl Picture {
    /// Judges what `survey` saw and keeps what `selection` means.
    pub(crate) fn new(
        survey: Survey,
        taken_at: Timestamp,
        selection: &Selection,
        thresholds: &Thresholds,
        sort: SortKey,
    ) -> Self {
        let (mut connections, mut hidden, mut owners_unseen) = (Vec::new(), Hidden::default(), 0);
        let mut seen = Seen::default();
        for observation in survey.observations {
            seen.note(&observation.sample);
            owners_unseen += usize::from(matches!(observation.owners, Owners::Unseen(_)));
            let diagnosis = Diagnosis::of(observation, thresholds);
            if !selection.matches(&diagnosis) {
                continue;
            }
            if selection.hides(&diagnosis) {
                hidden.loopback += 1;
                hidden.problems += usize::from(diagnosis.verdict.severity() == Severity::Problem);
            } else {
                connections.push(diagnosis);
            }
        }
        order::sort(&mut connections, sort);
        let mut listeners = survey.listeners;
        listeners.retain(|listener| selection.matches_listener(listener));
        Self {
            host: survey.host,
            taken_at,
            namespaces: survey.namespaces,
            connections,
            hidden,
            listeners,
            unseen: survey.unseen,
            owners_unseen,
            seen,
        }
    }

    /// The listeners that turn connections away.
    pub(crate) fn full_listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| listener.is_full())
    }

    /// When the look began, as RFC 3339 in UTC, always of the same length.
    pub(crate) fn taken_at_text(&self) -> String {
        format!("{:.3}", self.taken_at)
    }

    /// How many connections and listeners that are shown have something wrong.
    pub(crate) fn problems(&self) -> usize {
        let wrong = |diagnosis: &&Diagnosis| diagnosis.verdict.severity() == Severity::Problem;
        self.connections.iter().filter(wrong).count() + self.full_listeners().count()
    }

    /// Where a connection in the namespace with this inode number is, for its story.
    pub(crate) fn place(&self, id: NetnsId) -> Place {
        let is_own = self.namespaces.iter().any(|namespace| namespace.id == id && namespace.is_own);
        Place { netns: self.netns_name(id), is_own }
    }

    /// What to call the namespace with this inode number.
    pub(crate) fn netns_name(&self, id: NetnsId) -> String {
        self.namespaces
            .iter()
            .find(|namespace| namespace.id == id)
            .and_then(|namespace| namespace.name.clone())
            .unwrap_or_else(|| id.to_string())
    }
}
