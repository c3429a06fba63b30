//! Owns the acts of faults that happen on a cable. Pure.

use std::time::Duration;

use super::{Act, plug};
use crate::{
    fault::{Direction, Fault, Place, Side},
    scenario::Plan,
    topology::End,
    wire,
};

/// What such a fault does, with the time since its beginning; nothing for other faults.
pub(super) fn acts(fault: &Fault, plan: Plan) -> Vec<(Duration, Act)> {
    let now = Duration::ZERO;
    match fault {
        Fault::Cut { place, carrier, direction, lasts } => {
            cut(plan, *place, *carrier, *direction, *lasts)
        }
        Fault::Link { place, direction, link, lasts } => {
            let (cable, _) = plug(plan, side_at(*place));
            let act = |link| Act::Link { cable, from: from_end(*direction), link };
            let mended = lasts.map(|span| (span, act(Box::default())));
            std::iter::once((now, act(link.clone()))).chain(mended).collect()
        }
        Fault::Flap { place, down, up, times } => {
            let (cable, _) = plug(plan, side_at(*place));
            let round = |number: u32| {
                let begin = (*down + *up) * number;
                [(begin, Act::Cut { cable, from: None }), (begin + *down, Act::Mend { cable })]
            };
            (0..*times).flat_map(round).collect()
        }
        Fault::Middlebox { middlebox } => {
            vec![(now, Act::Middlebox { cable: 0, middlebox: middlebox.clone() })]
        }
        Fault::MiddleboxForgets { then } => {
            let middlebox = Box::new(wire::Middlebox { then: *then, ..wire::Middlebox::default() });
            vec![
                (now, Act::Middlebox { cable: 0, middlebox }),
                (now, Act::MiddleboxForgets { cable: 0 }),
            ]
        }
        Fault::ResetInjected { side, aim } => {
            let (cable, to) = plug(plan, *side);
            vec![(now, Act::Inject { cable, to, aim: *aim })]
        }
        Fault::SynRepeated => {
            let (cable, _) = plug(plan, Side::Server);
            vec![(now, Act::RepeatSyn { cable })]
        }
        _ => Vec::new(),
    }
}

fn cut(
    plan: Plan,
    place: Place,
    carrier: bool,
    direction: Direction,
    lasts: Option<Duration>,
) -> Vec<(Duration, Act)> {
    let (cable, end) = plug(plan, side_at(place));
    let (begin, end) = if carrier {
        (Act::Cut { cable, from: from_end(direction) }, Act::Mend { cable })
    } else {
        (Act::Carrier { cable, end, on: false }, Act::Carrier { cable, end, on: true })
    };
    std::iter::once((Duration::ZERO, begin)).chain(lasts.map(|span| (span, end))).collect()
}

/// The side whose cable is meant; the middle is where the server's is.
const fn side_at(place: Place) -> Side {
    match place {
        Place::Client => Side::Client,
        Place::Middle | Place::Server => Side::Server,
    }
}

/// The end that frames of a direction come from: on every cable the client is towards the left.
const fn from_end(direction: Direction) -> Option<End> {
    match direction {
        Direction::Both => None,
        Direction::ToServer => Some(End::Left),
        Direction::ToClient => Some(End::Right),
    }
}
