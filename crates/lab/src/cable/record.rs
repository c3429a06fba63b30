//! Owns the record of a cable: what became of each frame, for as long as there is room. Decides nothing.

use std::collections::VecDeque;

use halfopen_core::Moment;

use crate::{
    frame::Frame,
    topology::End,
    wire::{Fate, Marks, Passage},
};

/// A frame that reached the cable, or that the cable made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameSeen {
    /// Counts all frames of the cable, from 0.
    pub number: u64,
    /// When the cable took it up.
    pub at: Moment,
    /// The end that it came from, or seems to come from.
    pub from: End,
    /// What became of it.
    pub fate: Fate,
    /// What was done to it.
    pub marks: Marks,
    /// What it carries.
    pub frame: Frame,
}

/// The last frames of a cable, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Record {
    frames: VecDeque<FrameSeen>,
    forgotten: u64,
}

impl Record {
    /// Keeps a frame in its place. Only what the wire makes comes a little late.
    pub(super) fn keep(&mut self, passage: Passage) {
        let Passage { number, at, from, fate, marks, frame, .. } = passage;
        if self.frames.len() >= FRAMES_MAX {
            self.frames.pop_front();
            self.forgotten += 1;
        }
        let seen = FrameSeen { number, at, from, fate, marks, frame };
        if self.next_number() <= number {
            self.frames.push_back(seen);
        } else {
            let position = self.frames.partition_point(|other| other.number < number);
            self.frames.insert(position, seen);
        }
    }

    /// The fate of a frame turned out otherwise at the end of its way.
    pub(super) fn amend(&mut self, number: u64, fate: Fate) {
        let position = self.frames.binary_search_by_key(&number, |seen| seen.number);
        if let Some(seen) = position.ok().and_then(|position| self.frames.get_mut(position)) {
            seen.fate = fate;
        }
    }

    /// The frames from number `first` on.
    pub(super) fn from(&self, first: u64) -> impl Iterator<Item = &FrameSeen> {
        let position = self.frames.partition_point(|seen| seen.number < first);
        self.frames.range(position..)
    }

    /// The number after the last frame's.
    pub(super) fn next_number(&self) -> u64 {
        self.frames.back().map_or(self.forgotten, |seen| seen.number + 1)
    }

    /// How many frames had to make room.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// 50,000 frames: a rehearsal has hundreds; about 10 MB. The oldest go first, and are counted.
const FRAMES_MAX: usize = 50_000;
