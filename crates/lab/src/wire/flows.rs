//! Owns the table of all connections that pass a wire, whether or not a middlebox stands in it, so that
//! one that is put in later knows those that are established. Bounded. Judges nothing.

use std::collections::HashMap;

use halfopen_core::Moment;

use super::flow::{Flow, FlowKey};

/// All connections of a wire that began, or said something else than RST, since it was laid.
#[derive(Debug, Default)]
pub(super) struct Flows(HashMap<FlowKey, Seen>);

#[derive(Debug)]
struct Seen {
    flow: Flow,
    /// When it was last spoken on.
    at: Moment,
}

impl Flows {
    pub(super) fn get(&self, key: &FlowKey) -> Option<&Flow> {
        self.0.get(key).map(|seen| &seen.flow)
    }

    /// The flow, which is made where it is new.
    pub(super) fn note(&mut self, key: FlowKey, now: Moment) -> &mut Flow {
        if self.0.len() >= FLOWS_MAX && !self.0.contains_key(&key) {
            self.make_room();
        }
        let seen = self.0.entry(key).or_insert_with(|| Seen { flow: Flow::new(), at: now });
        seen.at = now;
        &mut seen.flow
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&FlowKey, &Flow)> {
        self.0.iter().map(|(key, seen)| (key, &seen.flow))
    }

    pub(super) fn forget(&mut self, key: &FlowKey) {
        self.0.remove(key);
    }

    /// Forgets the eighth that was silent for longest: one pass for thousands of new flows.
    fn make_room(&mut self) {
        let mut moments: Vec<_> = self.0.values().map(|seen| seen.at).collect();
        let (_, limit, _) = moments.select_nth_unstable(FLOWS_MAX / 8);
        let limit = *limit;
        self.0.retain(|_, seen| seen.at > limit);
    }
}

/// 65,536 flows: more than one client address has ports; some 10 MB.
const FLOWS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, SocketAddr},
        time::Duration,
    };

    use super::*;

    #[test]
    fn the_flows_that_were_silent_for_longest_make_room() {
        let mut flows = Flows::default();
        let key = |number: usize| FlowKey {
            left: SocketAddr::new(Ipv4Addr::from(u32::try_from(number).unwrap()).into(), 1),
            right: ([10, 0, 0, 7], 111).into(),
        };
        for number in 0..=FLOWS_MAX {
            flows.note(key(number), Moment(Duration::from_nanos(number as u64)));
        }
        assert!(flows.0.len() < FLOWS_MAX);
        assert!(flows.get(&key(0)).is_none() && flows.get(&key(FLOWS_MAX / 2)).is_some());
        assert!(flows.get(&key(FLOWS_MAX)).is_some());
    }
}
