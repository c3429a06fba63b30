//! Owns turning what a cable recorded, and what was noted beside it, into events to draw: one
//! order, one beginning, sequence numbers relative to where each direction began, states followed. Pure.

use std::collections::HashMap;

use halfopen_core::Moment;

use super::{Event, Happening, Role, State, states::Ends};
use crate::{
    cable::FrameSeen,
    frame::{Frame, Segment},
    topology::End,
    wire::{Fate, Flow, FlowKey, Kind},
};

/// Something that was noted beside the frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Moment,
    /// Where.
    pub place: Place,
    /// What, in a clause.
    pub text: String,
}

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// On the host at this end.
    Host(End),
    /// On the host at this end, which forgets all its connections by it, as when its power fails.
    HostForgets(End),
    /// On the cable.
    Cable,
}

/// Frames and notes as one story that begins at `began`. Of frames and notes of the same moment
/// the note comes first: it is the cause.
pub fn story(began: Moment, frames: &[FrameSeen], notes: &[Note]) -> Vec<Event> {
    let mut told: Vec<_> = notes
        .iter()
        .map(|note| (note.at, Told::Note(note)))
        .chain(frames.iter().map(|seen| (seen.at, Told::Frame(seen))))
        .collect();
    told.sort_by_key(|(at, _)| *at);
    let mut teller = Teller::over(frames);
    told.into_iter()
        .map(|(at, told)| {
            let (what, states) = match told {
                Told::Note(note) => teller.note(note),
                Told::Frame(seen) => teller.frame(seen),
            };
            Event { at: at.since(began), what, states }
        })
        .collect()
}

enum Told<'a> {
    Note(&'a Note),
    Frame(&'a FrameSeen),
}

/// What has to be remembered while a story is told.
struct Teller {
    connections: HashMap<FlowKey, Connection>,
    /// There are several, so that each segment says to which it belongs.
    are_several: bool,
}

struct Connection {
    flow: Flow,
    ends: Ends,
    /// Where the sequence numbers of the left end and of the right began.
    first: [Option<u32>; 2],
    /// From 1, in the order in which they appear.
    number: usize,
}

impl Teller {
    fn over(frames: &[FrameSeen]) -> Self {
        let mut keys: Vec<_> = frames
            .iter()
            .filter_map(|seen| Some(FlowKey::of(seen.frame.segment()?, seen.from)))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Self { connections: HashMap::new(), are_several: keys.len() > 1 }
    }

    fn note(&mut self, note: &Note) -> (Happening, [Option<State>; 2]) {
        let text = note.text.clone();
        match note.place {
            Place::Host(end) => (Happening::Beside(end, text), [None; 2]),
            Place::Cable => (Happening::Between(text), [None; 2]),
            Place::HostForgets(end) => {
                // All of them, whatever the first says.
                let forgotten: Vec<_> = self
                    .connections
                    .values_mut()
                    .filter_map(|connection| connection.ends.forget(end))
                    .collect();
                (Happening::Beside(end, text), at(end, forgotten.first().copied()))
            }
        }
    }

    fn frame(&mut self, seen: &FrameSeen) -> (Happening, [Option<State>; 2]) {
        let FrameSeen { from, fate, .. } = *seen;
        let (label, role, states) = match &seen.frame {
            Frame::Tcp(segment) => self.segment(segment, seen),
            Frame::Neighbour(neighbour) => (neighbour.to_string(), Role::News, [None; 2]),
            Frame::Other(words) => (words.clone(), Role::News, [None; 2]),
        };
        (Happening::Frame { from, label, fate, role }, states)
    }

    fn segment(
        &mut self,
        segment: &Segment,
        seen: &FrameSeen,
    ) -> (String, Role, [Option<State>; 2]) {
        let from = seen.from;
        let number = self.connections.len() + 1;
        let connection = self
            .connections
            .entry(FlowKey::of(segment, from))
            .or_insert_with(|| Connection::new(number));
        let role = connection.role(segment, from);
        let mut label = connection.label(segment, from, role);
        if self.are_several {
            label = format!("#{} {label}", connection.number);
        }
        (label, role, connection.follow(segment, seen))
    }
}

impl Connection {
    fn new(number: usize) -> Self {
        Self { flow: Flow::new(), ends: Ends::default(), first: [None; 2], number }
    }

    fn role(&self, segment: &Segment, from: End) -> Role {
        let says = segment.payload > 0 || segment.flags.syn || segment.flags.fin;
        let next = self.flow.next_of(from);
        let is_old = |next: u32| next.wrapping_sub(segment.next_sequence()).cast_signed() >= 0;
        match self.flow.kind(segment, from) {
            Kind::Keepalive => Role::Keepalive,
            Kind::KeepaliveAnswer => Role::KeepaliveAnswer,
            Kind::Syn if next != Some(segment.next_sequence()) => Role::News,
            Kind::Rst => Role::News,
            _ if says && next.is_some_and(is_old) => Role::Again,
            _ => Role::News,
        }
    }

    /// The states after the segment, where they change, with the flow brought up to date.
    fn follow(&mut self, segment: &Segment, seen: &FrameSeen) -> [Option<State>; 2] {
        let (from, to) = (seen.from, seen.from.other());
        let expected = self.flow.expected_by(to);
        let near = if seen.marks.forged { None } else { self.ends.sent(segment, from) };
        let arrives = !matches!(seen.fate, Fate::Dropped(_)) && !seen.marks.corrupted;
        let far = arrives.then(|| self.ends.arrived(segment, to, expected)).flatten();
        self.flow.note(segment, from, None);
        match from {
            End::Left => [near, far],
            End::Right => [far, near],
        }
    }

    fn label(&mut self, segment: &Segment, from: End, role: Role) -> String {
        if segment.flags.syn && role == Role::News {
            // A new connection may use the ports of an old one.
            *self.first_of(from) = Some(segment.sequence);
        }
        let flags = [
            (role == Role::Again, "again:"),
            (role == Role::Keepalive, "keepalive"),
            (segment.flags.syn, "SYN"),
            (segment.flags.fin, "FIN"),
            (segment.flags.rst, "RST"),
            (segment.flags.psh && role != Role::Again, "PSH"),
            (segment.acknowledgment.is_some(), "ACK"),
        ];
        let mut words: Vec<_> =
            flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()).collect();
        words.push(format!("seq={}", self.relative(from, segment.sequence)));
        if let Some(number) = segment.acknowledgment {
            words.push(format!("ack={}", self.relative(from.other(), number)));
        }
        if segment.payload > 0 {
            words.push(format!("len={}", segment.payload));
        }
        if segment.window == 0 && !segment.flags.rst {
            words.push("win=0".to_owned());
        }
        words.join(" ")
    }

    /// The number counted from the direction's SYN; from the first number seen where there was none.
    fn relative(&mut self, from: End, number: u32) -> i32 {
        let first = *self.first_of(from).get_or_insert(number);
        // A keepalive probe repeats the number before the last, which may be one before the first seen.
        number.wrapping_sub(first).cast_signed()
    }

    const fn first_of(&mut self, end: End) -> &mut Option<u32> {
        let [left, right] = &mut self.first;
        match end {
            End::Left => left,
            End::Right => right,
        }
    }
}

const fn at(end: End, state: Option<State>) -> [Option<State>; 2] {
    match end {
        End::Left => [state, None],
        End::Right => [None, state],
    }
}

#[cfg(test)]
mod tests;
