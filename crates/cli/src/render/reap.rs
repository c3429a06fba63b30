//! Owns how `reap` tells people what it would end or has ended, and what it spares.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use halfopen_core::{Diagnosis, Severity, Span};

use super::{Paint, cell::escaped, cell::wrapped, missing::write_missing, words};
use crate::reap::{Ending, Fate, Reaping};

/// Writes what becomes of each connection, those with the same fate together.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_reap(
    out: &mut impl Write,
    reaping: &Reaping,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    for group in groups(reaping) {
        let heading = wrapped("", &group.heading, width);
        writeln!(out, "{}", paint.severity(group.severity, heading.trim_end()))?;
        if let Some(ending) = &group.ending {
            write!(
                out,
                "{}",
                wrapped("  the application: ", &ending.application.to_string(), width)
            )?;
            write!(out, "{}", wrapped("  the peer: ", &ending.peer.to_string(), width))?;
        }
        for one in group.connections {
            write!(out, "{}", wrapped("    ", &ends_and_owner(one), width))?;
            write!(out, "{}", wrapped("      ", &evidence(one), width))?;
        }
        writeln!(out)?;
    }
    write_foot(out, reaping, width)
}

struct Group<'a> {
    heading: String,
    severity: Severity,
    /// What everybody sees, if it is the same for all.
    ending: Option<Ending>,
    connections: Vec<&'a Diagnosis>,
}

/// The groups in the order in which their first members stand: the ended before the spared.
fn groups(reaping: &Reaping) -> Vec<Group<'_>> {
    let mut groups: Vec<(Kind, Group<'_>)> = Vec::new();
    let mut places: HashMap<Kind, usize> = HashMap::new();
    for (one, fate) in reaping.each() {
        let kind = Kind::of(fate);
        let place = *places.entry(kind.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.connections.push(one),
            None => {
                let (severity, ending) = match fate {
                    Fate::WouldEnd(ending) | Fate::WouldProve(_, ending) | Fate::Ended(ending) => {
                        (Severity::Problem, Some(*ending))
                    }
                    Fate::EndedByReset | Fate::Failed(_) => (Severity::Problem, None),
                    Fate::SparedAtLast(_) | Fate::Gone => (Severity::Notice, None),
                    Fate::Spared(_) | Fate::Untested(_) => (Severity::Fine, None),
                };
                let heading = String::new();
                groups.push((kind, Group { heading, severity, ending, connections: vec![one] }));
            }
        }
    }
    groups.sort_by_key(|(kind, _)| kind.0);
    groups
        .into_iter()
        .map(|(kind, mut group)| {
            group.heading = kind.heading(group.connections.len());
            group
        })
        .collect()
}

/// What the members of a group have in common: the order of the group, and the words after the count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind(u8, String);

impl Kind {
    fn of(fate: &Fate) -> Self {
        /// What the peer and the application see keeps groups apart too.
        fn seen(ending: &Ending) -> String {
            format!("\u{0}{}\u{0}{}", ending.application.word(), ending.peer.word())
        }
        match fate {
            Fate::Ended(ending) => Self(0, format!("ended: {}{}", why(ending), seen(ending))),
            Fate::EndedByReset => Self(
                0,
                "ended by the test: the peer has forgotten it and answered with a reset \
                 (ECONNRESET)"
                    .to_owned(),
            ),
            Fate::WouldEnd(ending) => {
                Self(1, format!("would be ended: {}{}", why(ending), seen(ending)))
            }
            Fate::WouldProve(method, ending) => {
                let told = format!("would be tested ({method}), and ended if silent");
                Self(1, told + &seen(ending))
            }
            Fate::Failed(reason) => Self(2, format!("not ended: {reason}")),
            Fate::Gone => Self(3, "gone before anything was done".to_owned()),
            Fate::SparedAtLast(spared) => Self(4, format!("spared after a second look: {spared}")),
            Fate::Spared(spared) => Self(5, format!("spared: {spared}")),
            Fate::Untested(why) => Self(5, format!("spared, nothing proved: {why}")),
        }
    }

    fn heading(&self, count: usize) -> String {
        let words = self.1.split('\u{0}').next().unwrap_or_default();
        let connections = if count == 1 { "connection" } else { "connections" };
        format!("{count} {connections} {}", escaped(words))
    }
}

/// Without the numbers that differ from one connection to the next.
fn why(ending: &Ending) -> String {
    use halfopen_core::reaping::Because;
    match ending.because {
        Because::HalfClosed { .. } => "half-closed for longer than --half-closed-over".to_owned(),
        because => because.to_string(),
    }
}

fn ends_and_owner(one: &Diagnosis) -> String {
    let seen = &one.observation;
    format!("{}  {}  {}", seen.sample.id, words::pair(one), words::owner(&seen.owners))
}

fn evidence(one: &Diagnosis) -> String {
    let facts: Vec<_> = one.verdict.evidence().map(ToString::to_string).collect();
    format!(
        "{}, {}: {}",
        one.observation.sample.state,
        one.verdict.kind(),
        escaped(&facts.join("; "))
    )
}

fn write_foot(out: &mut impl Write, reaping: &Reaping, width: usize) -> io::Result<()> {
    if !reaping.listeners().is_empty() {
        let ends: Vec<_> = reaping.listeners().iter().map(|one| words::end(one.local)).collect();
        let text = format!("{} (listeners are never ended)", ends.join(", "));
        write!(out, "{}", wrapped("spared: ", &text, width))?;
    }
    let picture = &reaping.picture;
    if picture.hidden.loopback > 0 {
        let text = format!(
            "{} of this host to itself (--loopback includes them)",
            picture.hidden.loopback
        );
        write!(out, "{}", wrapped("left out: ", &text, width))?;
    }
    write_missing(out, picture, width)?;
    if let Some(path) = &reaping.audit {
        let path = path.display().to_string();
        write!(out, "{}", wrapped("on record: ", &escaped(&path), width))?;
        if reaping.is_interrupted {
            writeln!(out, "Interrupted while connections were tested, so nothing was ended.")?;
        }
        return Ok(());
    }
    let any = |is: fn(&Fate) -> bool| reaping.fates.iter().any(is);
    let text = match reaping.trial {
        Some(patience) if any(|fate| matches!(fate, Fate::WouldProve(..))) => format!(
            "Nothing was done and no probe was sent: --apply sends up to {} probes, {} apart, and \
             ends what is silent, after a second look at each. A peer that has forgotten its \
             connection answers with a reset; the application then gets ECONNRESET.",
            patience.probes(),
            Span(patience.interval()),
        ),
        _ if any(|fate| matches!(fate, Fate::WouldEnd(_))) => {
            "Nothing was done: --apply does it, after a second look at each.".to_owned()
        }
        _ => "Nothing to do.".to_owned(),
    };
    write!(out, "{}", wrapped("", &text, width))
}
