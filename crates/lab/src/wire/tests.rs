//! Goal: each fault does what it says, at the moment it says. Method: packet traces. A script of lines
//! `MS > FLAGS SEQ [ack N] [len N]` goes in (`>` from the left end, `<` from the right; S, F, R and `.` for
//! ACK); out come the same lines with their fate, and what leaves the wire later with `=>` or `<=`.

mod boxes;
mod families;
mod faults;
mod filters;
mod promises;

use std::time::Duration;

use super::*;
use crate::topology::IpFamily;

pub(super) const LEFT: (&str, u16) = ("10.0.0.1", 40_000);
pub(super) const RIGHT: (&str, u16) = ("10.0.0.7", 111);

/// A moment of the trace.
pub(super) const fn at(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The handshake that most traces begin with.
pub(super) const HANDSHAKE: [&str; 3] = ["0 > S 100", "0 < S. 300 ack 101", "0 > . 101 ack 301"];

/// A frame from a line of a script, behind its moment.
pub(crate) fn frame(line: &str) -> (End, Vec<u8>) {
    frame_over(IpFamily::V4, line)
}

/// The same over one of the families.
pub(crate) fn frame_over(family: IpFamily, line: &str) -> (End, Vec<u8>) {
    let words: Vec<_> = line.split_whitespace().collect();
    let from = if words[0] == ">" { End::Left } else { End::Right };
    let number = |word: &str| {
        let position = words.iter().position(|w| *w == word)?;
        Some(words[position + 1].parse::<u32>().unwrap())
    };
    let ((source, port), (destination, to)) =
        if from == End::Left { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
    let [near, far] = [[2, 0, 0, 0, 0, from as u8], [2, 0, 0, 0, 0, from.other() as u8]];
    let address = |text: &str| family.of(text.parse().unwrap());
    let mut builder = headers([far, near], address(source), address(destination)).unwrap().tcp(
        port,
        to,
        words[2].parse().unwrap(),
        if words.contains(&"shut") { 0 } else { 512 },
    );
    for flag in words[1].chars() {
        builder = match flag {
            'S' => builder.syn(),
            'F' => builder.fin(),
            'R' => builder.rst(),
            _ => builder,
        };
    }
    if let Some(number) = number("ack") {
        builder = builder.ack(number);
    }
    let payload = vec![b'x'; number("len").unwrap_or(0) as usize];
    let mut bytes = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut bytes, &payload).unwrap();
    (from, bytes)
}

/// A segment in the words of a script, behind its arrow.
fn words(bytes: &[u8]) -> String {
    let Frame::Tcp(segment) = Frame::parse(bytes) else { return "no segment".to_owned() };
    told(&segment)
}

fn told(segment: &Segment) -> String {
    let flags = [(segment.flags.syn, "S"), (segment.flags.fin, "F"), (segment.flags.rst, "R")];
    let mut text: String =
        flags.iter().filter(|(set, _)| *set).map(|(_, letter)| *letter).collect();
    if segment.acknowledgment.is_some() {
        text.push('.');
    }
    text += &format!(" {}", segment.sequence);
    if let Some(number) = segment.acknowledgment {
        text += &format!(" ack {number}");
    }
    if segment.payload > 0 {
        text += &format!(" len {}", segment.payload);
    }
    text
}

/// Lets time pass until `until`, and tells what leaves the wire meanwhile.
pub(super) fn pass(wire: &mut Wire, until: Moment, log: &mut Vec<String>) {
    while let Some(now) = wire.deadline().filter(|deadline| *deadline <= until) {
        while let Some((emission, fate)) = wire.due(now) {
            let arrow = if emission.to == End::Right { "=>" } else { "<=" };
            let fate = match fate {
                Fate::Dropped(_) => format!(": {fate}"),
                _ => String::new(),
            };
            log.push(format!("{} {arrow} {}{fate}", now.0.as_millis(), words(&emission.bytes)));
        }
        tell_forged(wire, log);
    }
}

fn tell_forged(wire: &mut Wire, log: &mut Vec<String>) {
    while let Some(passage) = wire.forged() {
        log.push(line(&passage));
    }
}

fn line(passage: &Passage) -> String {
    let arrow = if passage.from == End::Left { ">" } else { "<" };
    let words = passage.frame.segment().map_or_else(|| "no segment".to_owned(), told);
    let Passage { at, fate, marks, .. } = passage;
    format!("{} {arrow} {words}: {fate}{marks}", at.0.as_millis())
}

/// Plays a script. A line of a moment alone lets time pass until then.
pub(super) fn play(wire: &mut Wire, script: &[&str]) -> Vec<String> {
    play_over(IpFamily::V4, wire, script)
}

/// The same over one of the families.
pub(super) fn play_over(family: IpFamily, wire: &mut Wire, script: &[&str]) -> Vec<String> {
    let mut log = Vec::new();
    for text in script {
        let (moment, rest) = text.split_once(' ').unwrap_or((text, ""));
        let now = at(moment.parse().unwrap());
        pass(wire, now, &mut log);
        if rest.is_empty() {
            continue;
        }
        let (from, bytes) = frame_over(family, rest);
        let passage = wire.take(now, from, &bytes);
        log.push(line(&passage));
        tell_forged(wire, &mut log);
    }
    log
}

/// A wire with one established connection.
pub(super) fn connected() -> Wire {
    let mut wire = Wire::default();
    let log = play(&mut wire, &HANDSHAKE);
    assert!(log.iter().all(|line| line.ends_with(": delivered")), "{log:#?}");
    wire
}
