//! Owns the picture: what a survey has seen, judged, chosen and ordered. Every face of the output
//! (text, JSON, frames of `--watch`) is drawn from it. Prints nothing.

use halfopen_core::{Judge, Listener, NetnsId, Observation, OptionsSeen, Owners, Severity};
use halfopen_sys::{NamespaceSeen, Survey, Unseen, options::OptionsReader};
use jiff::Timestamp;

use crate::{
    connections::Connections,
    counted::Seen,
    look::{Look, OptionsOf},
    order,
    story::Place,
};

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
    pub connections: Connections,
    /// Those that were meant and left out.
    pub hidden: Hidden,
    /// The listeners that were meant.
    pub listeners: Vec<Listener>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
    /// Of how many connections, meant or not, the owner could not be seen.
    pub owners_unseen: usize,
    /// Every socket that was seen, meant or not; nothing if the look was not to remember them.
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

/// What has been judged so far of a look that is still going on.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    connections: Connections,
    hidden: Hidden,
    owners_unseen: usize,
    seen: Seen,
}

/// Judges what one thread is given, and keeps what the look means.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    look: &'a Look,
    judge: Judge,
    options: OptionsReader,
    judged: Judged,
}

impl<'a> Bench<'a> {
    /// For `look`.
    pub(crate) fn new(look: &'a Look) -> Self {
        let (judge, options) = (Judge::new(look.thresholds), OptionsReader::default());
        Self { look, judge, options, judged: Judged::default() }
    }

    /// Judges `observations`.
    pub(crate) fn take(&mut self, observations: Vec<Observation>) {
        let Self { look, judge, options, judged } = self;
        for mut observation in observations {
            if look.remembers {
                judged.seen.note(&observation.sample);
            }
            judged.owners_unseen += usize::from(matches!(observation.owners, Owners::Unseen(_)));
            let is_meant = look.selection.may_mean(&observation);
            let reads = look.options == OptionsOf::TheChosen && is_meant;
            if reads && !look.selection.hides(&observation) {
                read(&mut observation, options);
            }
            let diagnosis = judge.diagnosis(observation);
            if !look.selection.matches(&diagnosis) {
                continue;
            }
            if look.selection.hides(&diagnosis.observation) {
                let is_wrong = diagnosis.verdict.severity() == Severity::Problem;
                judged.hidden.loopback += 1;
                judged.hidden.problems += usize::from(is_wrong);
            } else {
                judged.connections.push(diagnosis);
            }
        }
    }

    /// What has been judged.
    pub(crate) fn done(self) -> Judged {
        self.judged
    }
}

impl Judged {
    /// Takes in what was judged elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.connections.append(other.connections);
        self.hidden.loopback += other.hidden.loopback;
        self.hidden.problems += other.hidden.problems;
        self.owners_unseen += other.owners_unseen;
        self.seen.add(other.seen);
    }
}

/// Reads the options, unless the source told them or nobody can be asked.
fn read(observation: &mut Observation, reader: &mut OptionsReader) {
    let owners = observation.owners.seen();
    if observation.options.read().is_some() || owners.is_empty() {
        return;
    }
    observation.options = match reader.read(owners, observation.sample.id.cookie) {
        Ok(options) => OptionsSeen::Read(options),
        Err(error) => OptionsSeen::Unread(error.to_string().into()),
    };
}

impl Picture {
    /// What was judged, in the order that `look` wants, and what `survey` saw around it.
    pub(crate) fn new(survey: Survey, judged: Judged, taken_at: Timestamp, look: &Look) -> Self {
        let Judged { mut connections, hidden, owners_unseen, seen } = judged;
        order::sort(&mut connections, look.sort);
        let mut listeners = survey.listeners;
        listeners.retain(|listener| look.selection.matches_listener(listener));
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
        let severities = self.connections.iter().map(|one| one.verdict.severity());
        let wrong = severities.filter(|severity| *severity == Severity::Problem);
        wrong.count() + self.full_listeners().count()
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
