//! Owns the picture: what a survey has seen, judged, chosen and ordered. Every face of the output
//! (text, JSON, frames of `--watch`) is drawn from it. Prints nothing.

use halfopen_core::{
    Judge, Listener, NetnsId, Observation, OptionsSeen, Owners, Severity, TcpState,
};
use halfopen_sys::{About, NamespaceSeen, Survey, Unseen, options::OptionsReader};
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
    /// What that means for the connections that were meant.
    pub lacks: Lacks,
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

/// What is not known of at least one connection that was meant, or that may have been.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// Any owner.
    pub owners: bool,
    /// Its options, or those of the listener that an embryonic one belongs to.
    pub options: bool,
}

impl Lacks {
    fn note(&mut self, seen: &Observation) {
        self.owners |= matches!(seen.owners, Owners::Unseen(_));
        // A mini socket has none.
        self.options |= seen.options.read().is_none() && seen.sample.info.is_some();
        if seen.sample.state == TcpState::SynReceived {
            let listener = seen.listener.as_ref();
            self.options |= listener.is_some_and(|listener| listener.syn_retries.is_none());
        }
    }

    fn add(&mut self, other: Self) {
        self.owners |= other.owners;
        self.options |= other.options;
    }
}

/// What has been judged so far of a look that is still going on.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    connections: Connections,
    hidden: Hidden,
    lacks: Lacks,
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
            let is_unowned = matches!(observation.owners, Owners::Unseen(_));
            judged.owners_unseen += usize::from(is_unowned);
            // It may have been meant.
            judged.lacks.owners |= is_unowned && look.selection.needs_owners();
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
                judged.lacks.note(&diagnosis.observation);
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
        self.lacks.add(other.lacks);
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
        let Judged { mut connections, hidden, lacks, owners_unseen, seen } = judged;
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
            lacks,
            owners_unseen,
            seen,
        }
    }

    /// What could not be seen and is missing from what is shown. JSON has all that could not be seen;
    /// a person who reads of hidden processes below connections whose owners are all there would look
    /// for what is missing.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &Unseen> {
        let Lacks { owners, options } = self.lacks;
        self.unseen.iter().filter(move |unseen| match unseen.about {
            About::Owners => owners,
            About::Options => options,
            About::Source => owners || options,
            _ => true,
        })
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

#[cfg(test)]
mod tests {
    use halfopen_core::{OwnerList, SocketOptions};

    use super::*;
    use crate::fixtures;

    /// What is missing from a picture of the connections that `change` makes.
    fn missing(change: impl Fn(&mut Observation)) -> Vec<About> {
        let mut picture = fixtures::picture();
        picture.lacks = Lacks::default();
        for one in picture.connections.iter() {
            let mut seen = one.observation.clone();
            change(&mut seen);
            picture.lacks.note(&seen);
        }
        let unseen = |about| Unseen { what: String::new(), why: String::new(), about };
        let all = [About::Owners, About::Options, About::Source, About::Host];
        picture.unseen = all.into_iter().map(unseen).collect();
        picture.missing().map(|unseen| unseen.about).collect()
    }

    fn knows(seen: &mut Observation) {
        seen.owners = Owners::Known(OwnerList::from_iter([]));
        seen.options = OptionsSeen::Read(SocketOptions::default().into());
        seen.listener = None;
    }

    #[test]
    fn hidden_processes_are_not_told_of_where_every_connection_that_is_shown_has_its_owner() {
        assert_eq!(missing(knows), [About::Host]);
    }

    #[test]
    fn an_owner_or_the_options_that_are_missing_are_told_with_the_source_that_might_know() {
        let unowned = |seen: &mut Observation| {
            knows(seen);
            seen.owners = Owners::Unseen("hidden".into());
        };
        assert_eq!(missing(unowned), [About::Owners, About::Source, About::Host]);
        let unread = |seen: &mut Observation| {
            knows(seen);
            seen.options = OptionsSeen::Unread("hidden".into());
        };
        assert_eq!(missing(unread), [About::Options, About::Source, About::Host]);
    }
}
