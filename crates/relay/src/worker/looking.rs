//! Owns the looks at connections with data in flight. The judgement is in `liveness`.

use std::{os::fd::AsFd as _, time::Duration};

use halfopen_sys::stream;

use super::{
    Worker,
    slot::{Key, Slot},
};
use crate::{
    liveness::{Liveness, Standing},
    pair::{Cause, Event, Side},
};

impl Worker {
    /// Looks at all pairs with data in flight, if it is time to.
    pub(super) fn look_if_due(&mut self) {
        if self.now < self.next_look || self.in_flight.is_empty() {
            return;
        }
        let mut next = self.now + LOOK_MAX;
        for key in std::mem::take(&mut self.in_flight) {
            if let Some(every) = self.look(key) {
                next = next.min(self.now + every);
                self.in_flight.push(key);
            }
        }
        self.next_look = next;
    }

    /// Looks at one pair; when to look again, if ever.
    fn look(&mut self, key: Key) -> Option<Duration> {
        let slot = self.slot(key)?;
        let mut settled = true;
        let mut lost = None;
        for side in Side::BOTH {
            match standing(slot, side) {
                Standing::Settled => {}
                Standing::InFlight => settled = false,
                Standing::Lost(found) => lost = lost.or(Some((side, found))),
            }
        }
        slot.is_looked_at = !settled;
        if let Some((side, found)) = lost {
            slot.is_looked_at = false;
            self.handle_pair(key, Event::Failed(side, Cause::Silent(found)));
            return None;
        }
        let every = slot.look_every();
        (!settled).then_some(every)
    }
}

fn standing(slot: &Slot, side: Side) -> Standing {
    let liveness: &Liveness = match side {
        Side::Client => &slot.route.service.client,
        Side::Upstream => &slot.route.service.upstream,
    };
    let Some(socket) = &slot.sockets[side] else { return Standing::Settled };
    // A socket that cannot be asked reports an error through epoll.
    stream::info(socket.as_fd()).map_or(Standing::Settled, |info| liveness.judge(&info))
}

/// The longest `Liveness::look_every`.
const LOOK_MAX: Duration = Duration::from_secs(2);
