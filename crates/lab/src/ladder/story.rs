//! Owns turning what a cable recorded, and what was noted beside it, into events to draw: one
//! order, one beginning, sequence numbers relative to where each direction began. Pure.

use std::{collections::HashMap, net::SocketAddrV4};

use halfopen_core::Moment;

use super::{Event, Happening};
use crate::{
    cable::FrameSeen,
    frame::{Frame, Segment},
    topology::End,
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
    /// On the cable.
    Cable,
}

/// Frames and notes as one story that begins at `began`. Of frames and notes of the same moment
/// the note comes first: it is the cause.
pub fn story(began: Moment, frames: &[FrameSeen], notes: &[Note]) -> Vec<Event> {
    let mut numbers = Numbers::default();
    let noted = notes.iter().map(|note| {
        let text = note.text.clone();
        let what = match note.place {
            Place::Host(end) => Happening::Beside(end, text),
            Place::Cable => Happening::Between(text),
        };
        Event { at: note.at.since(began), what }
    });
    let seen = frames.iter().map(|seen| {
        let label = match &seen.frame {
            Frame::Tcp(segment) => numbers.label(segment),
            Frame::Arp(arp) => arp.to_string(),
            Frame::Other(words) => words.clone(),
        };
        let what = Happening::Frame { from: seen.from, label, fate: seen.fate };
        Event { at: seen.at.since(began), what }
    });
    let mut events: Vec<_> = noted.chain(seen).collect();
    events.sort_by_key(|event| event.at);
    events
}

/// Where the sequence numbers of each direction began: from sender, to receiver.
#[derive(Debug, Default)]
struct Numbers(HashMap<(SocketAddrV4, SocketAddrV4), u32>);

impl Numbers {
    fn label(&mut self, segment: &Segment) -> String {
        let direction = (segment.source, segment.destination);
        if segment.flags.syn {
            // A new connection may use the ports of an old one.
            self.0.insert(direction, segment.sequence);
        }
        let flags = [
            (segment.flags.syn, "SYN"),
            (segment.flags.fin, "FIN"),
            (segment.flags.rst, "RST"),
            (segment.flags.psh, "PSH"),
            (segment.acknowledgment.is_some(), "ACK"),
        ];
        let mut words: Vec<_> =
            flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()).collect();
        words.push(format!("seq={}", self.relative(direction, segment.sequence)));
        if let Some(number) = segment.acknowledgment {
            let reverse = (segment.destination, segment.source);
            words.push(format!("ack={}", self.relative(reverse, number)));
        }
        if segment.payload > 0 {
            words.push(format!("len={}", segment.payload));
        }
        words.join(" ")
    }

    /// The number counted from the direction's SYN; from the first number seen where there was none.
    fn relative(&mut self, direction: (SocketAddrV4, SocketAddrV4), number: u32) -> i32 {
        let first = *self.0.entry(direction).or_insert(number);
        // A keepalive probe repeats the number before the last, which may be one before the first seen.
        number.wrapping_sub(first).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        frame::Flags,
        wire::{Fate, Marks},
    };

    const CLIENT: &str = "10.0.0.1:40000";
    const SERVER: &str = "10.0.0.7:111";

    fn segment(from: &str, to: &str, sequence: u32, acknowledgment: Option<u32>) -> Segment {
        let flags = Flags { syn: acknowledgment.is_none(), ..Flags::default() };
        let (source, destination) = (from.parse().unwrap(), to.parse().unwrap());
        Segment { source, destination, sequence, acknowledgment, flags, window: 512, payload: 0 }
    }

    #[test]
    fn numbers_are_counted_from_the_syn_and_survive_the_wrap() {
        let mut numbers = Numbers::default();
        let syn = segment(CLIENT, SERVER, u32::MAX, None);
        assert_eq!(numbers.label(&syn), "SYN seq=0");
        let answer = segment(SERVER, CLIENT, 500, Some(0));
        let answer = Segment { flags: syn.flags, ..answer };
        assert_eq!(numbers.label(&answer), "SYN ACK seq=0 ack=1");
        let data = Segment { payload: 3, ..segment(CLIENT, SERVER, 0, Some(501)) };
        assert_eq!(numbers.label(&data), "ACK seq=1 ack=1 len=3");
    }

    #[test]
    fn a_keepalive_probe_of_a_connection_seen_late_is_one_before_the_first() {
        let mut numbers = Numbers::default();
        numbers.label(&segment(CLIENT, SERVER, 1000, Some(7)));
        assert_eq!(numbers.label(&segment(CLIENT, SERVER, 999, Some(7))), "ACK seq=-1 ack=0");
    }

    #[test]
    fn a_note_comes_before_the_frame_of_the_same_moment() {
        let at = Moment(Duration::from_secs(9));
        let notes = [Note { at, place: Place::Host(End::Left), text: "types".into() }];
        let frame = Frame::Other("UDP".into());
        let frames = [FrameSeen {
            number: 0,
            at,
            from: End::Left,
            fate: Fate::Delivered,
            marks: Marks::default(),
            frame,
        }];
        let told = story(Moment(Duration::from_secs(8)), &frames, &notes);
        assert!(matches!(told[0].what, Happening::Beside(End::Left, _)));
        assert_eq!(told[1].at, Duration::from_secs(1));
    }
}
