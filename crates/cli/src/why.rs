//! Owns the verb `why`: finds the one connection that is meant and tells its story, or shows a
//! verdict's page.

use std::io::Write;

use halfopen_core::{ConnectionId, Diagnosis, VerdictKind};

use crate::{
    args::{SortKey, Why},
    connections::Connections,
    counted,
    exit::{Exit, Failure},
    look::Look,
    picture::Picture,
    render::{TableView, json, pair, write_missing, write_story, write_table},
    select::{EndpointPattern, Selection},
    story::Story,
    terminal::Terminal,
};

/// Tells why.
///
/// # Errors
/// [`Failure`] where the subject cannot be read, the host cannot be looked at, nothing or several
/// connections match, or the answer cannot be written.
pub(crate) fn run(arguments: &Why, out: &mut impl Write) -> Result<Exit, Failure> {
    let subject = Subject::of(arguments)?;
    if let Subject::Page(kind) = subject {
        return page(kind, arguments, out);
    }
    let mut selection = Selection::new(&arguments.selectors);
    if let Subject::Id(id) = subject {
        selection = selection.with_id(id);
    }
    // Who asks for one connection means it, wherever its ends are.
    let look = Look::new(
        selection.with_loopback(),
        &arguments.looking,
        &arguments.judging,
        SortKey::Worst,
    );
    let mut picture = look.take()?;
    subject.narrow(&mut picture.connections);
    let mut each = picture.connections.iter();
    match (each.next(), each.next()) {
        (None, _) => Err(Failure::NoSuchConnection(none_matches(&picture))),
        (Some(one), None) => {
            tell(one, &picture, arguments, out)?;
            Ok(Exit::Fine)
        }
        (Some(_), Some(_)) => Err(several_match(&picture)),
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// A verdict in general.
    Page(VerdictKind),
    /// The connection with this id.
    Id(ConnectionId),
    /// The connection between these ends.
    Pair(EndpointPattern, EndpointPattern),
    /// The connection with this peer, else with this end of ours.
    End(EndpointPattern),
    /// Whatever the selectors leave.
    Selected,
}

impl Subject {
    fn of(arguments: &Why) -> Result<Self, Failure> {
        let Some(text) = arguments.subject.as_deref().map(str::trim) else {
            return Ok(Self::Selected);
        };
        if let Some(kind) = VerdictKind::from_word(&text.to_ascii_lowercase()) {
            return Ok(Self::Page(kind));
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let end = |end: &str| end.trim().parse::<EndpointPattern>();
        let read = match text.split_once("->") {
            Some((local, peer)) => end(local).and_then(|local| Ok(Self::Pair(local, end(peer)?))),
            None => end(text).map(Self::End),
        };
        read.map_err(|error| {
            Failure::Usage(format!(
                "`{text}` is neither a connection (COOKIE@NETNS, LOCAL->PEER, PEER or :PORT) nor a \
                 verdict ({}): {error}",
                VerdictKind::ALL.map(VerdictKind::word).join(", ")
            ))
        })
    }

    /// Keeps the connections that are meant. A pattern that fits peers means the peer.
    fn narrow(self, connections: &mut Connections) {
        match self {
            Self::Page(_) | Self::Id(_) | Self::Selected => {}
            Self::Pair(local, peer) => connections.retain(|one| {
                let ends = &one.observation.sample.endpoints;
                local.matches(ends.local) && peer.matches(ends.peer)
            }),
            Self::End(end) => {
                let is_peer = |one: &Diagnosis| end.matches(one.observation.sample.endpoints.peer);
                if connections.iter().any(is_peer) {
                    connections.retain(is_peer);
                } else {
                    connections.retain(|one| end.matches(one.observation.sample.endpoints.local));
                }
            }
        }
    }
}

fn tell(
    one: &Diagnosis,
    picture: &Picture,
    arguments: &Why,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let story = Story::of(one, &picture.place(one.observation.sample.id.netns));
    if arguments.face.json {
        json::write_document(out, &json::WhyDocument::of(one, &story, picture))?;
    } else {
        let terminal = Terminal::of_stdout();
        write_story(out, &story, terminal.width, terminal.paint(arguments.face.color))?;
        write_missing(out, picture, terminal.width)?;
    }
    out.flush()?;
    Ok(())
}

/// A connection that is not there any more left its mark in the counters of its namespace.
fn none_matches(picture: &Picture) -> String {
    let counted = counted::read(picture);
    let mut sentence = "no such connection now; `halfopen ls` shows those there are".to_owned();
    for namespace in &picture.namespaces {
        let Some(counters) = counted.get(&namespace.id) else { continue };
        sentence.push_str(&format!(
            "\nif it was there before, it may have ended by reset: since namespace {} was made it \
             has counted {}",
            crate::render::escaped(&picture.netns_name(namespace.id)),
            counted::totals(counters).join(", ")
        ));
    }
    sentence
}

/// A list to choose from.
fn several_match(picture: &Picture) -> Failure {
    let mut list = Vec::new();
    let terminal = Terminal::of_stdout();
    let view = TableView {
        width: terminal.width,
        paint: crate::render::Paint::when(false),
        ids: true,
        netns: picture.namespaces.len() > 1,
    };
    let mut shown = picture.clone();
    shown.connections.truncate(SHOWN_MAX);
    if let Err(error) = write_table(&mut list, &shown, view) {
        return Failure::Output(error);
    }
    let more = match picture.connections.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!("and {more} more\n"),
    };
    let (id, ends) = picture
        .connections
        .first()
        .map_or_else(Default::default, |one| (one.observation.sample.id.to_string(), pair(one)));
    Failure::Usage(format!(
        "{} connections match, and `why` tells of one; name it by its id or its two ends, e.g. \
         halfopen why {id}, or halfopen why '{ends}'\n{}{more}",
        picture.connections.len(),
        String::from_utf8_lossy(&list),
    ))
}

/// A list longer than a screen is no help in choosing.
const SHOWN_MAX: usize = 20;

fn page(kind: VerdictKind, arguments: &Why, out: &mut impl Write) -> Result<Exit, Failure> {
    if arguments.face.json {
        let message = "a verdict's page is text; leave out --json".to_owned();
        return Err(Failure::Usage(message));
    }
    out.write_all(page_of(kind).as_bytes())?;
    out.flush()?;
    Ok(Exit::Fine)
}

macro_rules! pages {
    ($($kind:ident => $file:literal),+ $(,)?) => {
        /// The page of a verdict.
        const fn page_of(kind: VerdictKind) -> &'static str {
            match kind {
                $(VerdictKind::$kind => {
                    include_str!(concat!("../../../docs/verdicts/", $file, ".md"))
                })+
            }
        }
    };
}

pages! {
    HalfOpen => "half-open",
    Silent => "silent",
    Straining => "straining",
    Blocked => "blocked",
    HalfClosed => "half-closed",
    Embryonic => "embryonic",
    Orphaned => "orphaned",
    Unknown => "unknown",
    Closing => "closing",
    Quiet => "quiet",
    Alive => "alive",
}

#[cfg(test)]
mod tests;
