//! Owns the looks into the namespaces of a survey, and the account of those that hide.
//! Joins nothing (see `survey`). Read: `netns`, which finds and enters them.

use halfopen_core::{NetnsId, Observation, Sysctls, Tracking};

use super::{About, NamespaceSeen, Place, Scope, SurveyError, Unseen, early::Early};
use crate::{
    conntrack::{TrackingSeen, is_at_work, tracking},
    netns::{Census, Netns, census},
    privilege::to_look_into_processes,
    samples::{self, Sockets},
    sources::Chosen,
    sysctls,
};

/// What was seen inside one namespace.
pub(super) struct Look<'a> {
    pub(super) namespace: NamespaceSeen,
    pub(super) sysctls: Sysctls,
    /// Those that were not judged already.
    pub(super) sockets: Sockets,
    /// One for each connection, in their order; none at all where the namespace tracks nothing.
    pub(super) tracking: Vec<Tracking>,
    /// Where some were judged already, by what.
    pub(super) place: Option<Place<'a>>,
}

/// Looks into every namespace of the scope. What hides of [`Scope::All`] goes to `unseen`; the one
/// namespace of another scope has to be seen. `early` takes up what it can.
pub(super) fn looks<'a, T, S, E>(
    scope: &Scope,
    source: &Chosen,
    unseen: &mut Vec<Unseen>,
    early: &'a Early<'a, T, S, E>,
) -> Result<Vec<Look<'a>>, SurveyError>
where
    T: Send,
    S: Fn() -> T + Sync,
    E: Fn(&mut T, Vec<Observation>) + Sync,
{
    let own = Netns::current()?;
    let others = match scope {
        Scope::Current => return Ok(vec![look(&own, own.id(), source, unseen, early)?]),
        Scope::Named(name) => {
            return Ok(vec![look(&Netns::named(name)?, own.id(), source, unseen, early)?]);
        }
        Scope::All => census(),
    };
    let Census { mut namespaces, hidden } = others?;
    if hidden.processes > 0 {
        let count = hidden.processes;
        unseen.push(Unseen {
            what: format!("network namespaces of {count} hidden processes, where not listed"),
            why: format!(
                "processes may not be looked at, usually those of other users: {}",
                to_look_into_processes()
            ),
            about: About::Host,
        });
    }
    for (id, why) in hidden.unopened {
        let what = format!("connections of network namespace {id}");
        unseen.push(Unseen { what, why, about: About::Host });
    }
    if !namespaces.iter().any(|netns| netns.id() == own.id()) {
        namespaces.push(Netns::current()?);
    }
    let mut looks = Vec::with_capacity(namespaces.len());
    for netns in namespaces {
        match look(&netns, own.id(), source, unseen, early) {
            Ok(look) => looks.push(look),
            Err(error) if netns.id() == own.id() => return Err(error),
            Err(error) => {
                let name = netns.name().map(|name| format!(" ({name})")).unwrap_or_default();
                unseen.push(Unseen {
                    what: format!("connections of network namespace {}{name}", netns.id()),
                    why: error.to_string(),
                    about: About::Host,
                });
            }
        }
    }
    Ok(looks)
}

fn look<'a, T, S, E>(
    netns: &Netns,
    own: NetnsId,
    source: &Chosen,
    unseen: &mut Vec<Unseen>,
    early: &'a Early<'a, T, S, E>,
) -> Result<Look<'a>, SurveyError>
where
    T: Send,
    S: Fn() -> T + Sync,
    E: Fn(&mut T, Vec<Observation>) + Sync,
{
    let (looked, sysctls, place) = netns.enter(|| {
        let (sysctls, tracks) = (sysctls(), is_at_work());
        let here = early.here(&sysctls, tracks);
        let sockets = samples::of_this_namespace(source, &sysctls, &&here);
        let tracked = |mut sockets: Sockets| {
            let seen = if tracks {
                tracking(sockets.connections.samples())
            } else {
                TrackingSeen::default()
            };
            (seen, sockets)
        };
        let looked = sockets.map(tracked);
        (looked, sysctls, here.into_place())
    })?;
    let (tracking, mut sockets) = looked?;
    let missed = std::mem::take(&mut sockets.missed);
    unseen.extend(missed.into_iter().map(|(what, why)| Unseen { what, why, about: About::Host }));
    if sysctls == Sysctls::default() {
        unseen.push(Unseen {
            what: format!("sysctls of network namespace {}", netns.id()),
            why: "/proc/sys/net/ipv4 could not be read; is it mounted here?".to_owned(),
            about: About::Host,
        });
    }
    let TrackingSeen { each: tracking, missed } = tracking;
    unseen.extend(missed.map(|why| Unseen {
        what: format!("connection tracking of network namespace {}", netns.id()),
        why,
        about: About::Host,
    }));
    let namespace = NamespaceSeen {
        id: netns.id(),
        name: netns.name().map(str::to_owned),
        is_own: netns.id() == own,
    };
    Ok(Look { namespace, sysctls, sockets, tracking, place })
}
