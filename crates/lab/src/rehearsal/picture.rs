//! Owns the picture of a rehearsal: what passed the client's cable, what was done, and when each side
//! noticed, as one SVG. Reads the cable's record and changes nothing.

use std::time::Duration;

use halfopen_core::Moment;

use super::{findings::Record, notice, stage::Stage};
use crate::{
    fault::Side,
    ladder::{self, Note, Place},
    topology::End,
};

/// Draws what happened from a little before the first fault. `None` where nothing passed.
pub(super) fn picture(stage: &Stage<'_>, record: &Record, from: Moment) -> Option<String> {
    let begin = Moment(from.0.saturating_sub(BEFORE));
    let mut frames = stage.lab.cable(0).ok()?.frames(0);
    // A short story is told from its beginning, handshake and all.
    if frames.len() > FRAMES_MAX {
        frames.retain(|seen| seen.at >= begin);
        frames.truncate(FRAMES_MAX);
    }
    let first = frames.first()?.at;
    let done = record.acts.iter().map(|(at, what)| Note {
        at: *at,
        place: Place::Cable,
        text: what.clone(),
    });
    let noticed = Side::BOTH.into_iter().filter_map(|side| {
        let (at, text) = notice::of_application(stage, side, from)?;
        let end = if side == Side::Client { End::Left } else { End::Right };
        Some(Note { at, place: Place::Host(end), text })
    });
    let notes: Vec<_> = done.chain(noticed).collect();
    let [client, server] = Side::BOTH.map(|side| stage.title(side));
    let began = notes.iter().map(|note| note.at).min().map_or(first, |note| note.min(first));
    let events = ladder::story(began, &frames, &notes);
    Some(ladder::draw_svg([&client, &server], &events))
}

/// Enough to see what was normal.
const BEFORE: Duration = Duration::from_millis(500);

/// More arrows than that are no picture any more; `--capture` has them all.
const FRAMES_MAX: usize = 200;
