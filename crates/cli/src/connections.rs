//! Owns the list of judged connections: there may be very many, and they are large, so they stay
//! where they were put, and are put in order by their places. Judges nothing.

use std::{panic::resume_unwind, thread};

use halfopen_core::Diagnosis;

/// Judged connections, in an order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    rooms: Vec<Vec<Diagnosis>>,
    order: Vec<Place>,
}

/// The room, and the place in it.
type Place = (u32, u32);

/// Rooms begin small and double up to this, some 30 MB. What is reserved and not used yet takes no memory.
const ROOM_MAX: usize = 1 << 15;
const ROOM_MIN: usize = 1 << 6;

/// To put fewer than so many in order takes no longer than to start a thread.
const PART_MIN: usize = 1 << 10;

impl Connections {
    /// Adds one at the end.
    pub(crate) fn push(&mut self, one: Diagnosis) {
        if self.rooms.last().is_none_or(|room| room.len() == room.capacity()) {
            let room = self.order.len().clamp(ROOM_MIN, ROOM_MAX);
            self.rooms.push(Vec::with_capacity(room));
        }
        let number = place_number(self.rooms.len().saturating_sub(1));
        if let Some(room) = self.rooms.last_mut() {
            self.order.push((number, place_number(room.len())));
            room.push(one);
        }
    }

    /// Adds all of `other` at the end. Nothing of it moves.
    pub(crate) fn append(&mut self, other: Self) {
        let first = place_number(self.rooms.len());
        self.rooms.extend(other.rooms);
        self.order.extend(other.order.into_iter().map(|(room, at)| (first + room, at)));
    }

    /// Puts them in order by `key`, which is asked once for each, of very many on all cores. Those
    /// that are alike stay in the order that they are in.
    pub(crate) fn sort_by_cached_key<K: Ord + Send>(
        &mut self,
        key: impl Fn(&Diagnosis) -> K + Sync,
    ) {
        let Self { rooms, order } = self;
        let by_key = |(one, _): &(Option<K>, Place), (other, _): &(_, _)| one.cmp(other);
        let in_order = |places: &[Place]| {
            let keyed = places.iter().map(|place| (at(rooms, *place).map(&key), *place));
            let mut keyed: Vec<_> = keyed.collect();
            keyed.sort_by(by_key);
            keyed
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut parts = order.chunks(order.len().div_ceil(cores).max(PART_MIN));
        let first = parts.next().unwrap_or_default();
        let mut all = thread::scope(|scope| {
            let in_order = &in_order;
            let begin = |places| {
                let begun = thread::Builder::new().spawn_scoped(scope, move || in_order(places));
                (places, begun.ok())
            };
            let others: Vec<_> = parts.map(begin).collect();
            let mut all = in_order(first);
            for (places, thread) in others {
                // Where no thread could be started the work is done here.
                all.extend(thread.map_or_else(
                    || in_order(places),
                    |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                ));
            }
            all
        });
        // Parts that are in order are merged in one pass.
        all.sort_by(by_key);
        *order = all.into_iter().map(|(_, place)| place).collect();
    }

    /// Keeps those that `is_meant`.
    pub(crate) fn retain(&mut self, is_meant: impl Fn(&Diagnosis) -> bool) {
        let Self { rooms, order } = self;
        order.retain(|place| at(rooms, *place).is_some_and(&is_meant));
    }

    /// Keeps the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.order.truncate(count);
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.order.len()
    }

    /// There is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Option<&Diagnosis> {
        self.iter().next()
    }

    /// Each, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Diagnosis> + Clone {
        self.order.iter().filter_map(|place| at(&self.rooms, *place))
    }

    /// Each, in order, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Diagnosis> {
        let rooms = self.rooms.iter_mut();
        let mut rooms: Vec<Vec<_>> =
            rooms.map(|room| room.iter_mut().map(Some).collect()).collect();
        self.order.iter().filter_map(move |place| take(&mut rooms, *place))
    }
}

fn at(rooms: &[Vec<Diagnosis>], (room, at): Place) -> Option<&Diagnosis> {
    rooms.get(room as usize)?.get(at as usize)
}

fn take<T>(rooms: &mut [Vec<Option<T>>], (room, at): Place) -> Option<T> {
    rooms.get_mut(room as usize)?.get_mut(at as usize)?.take()
}

/// A host has fewer connections than 2^32: each takes kilobytes of the kernel's memory.
fn place_number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl IntoIterator for Connections {
    type Item = Diagnosis;
    type IntoIter = Box<dyn Iterator<Item = Diagnosis>>;

    /// Each, in order.
    fn into_iter(self) -> Self::IntoIter {
        // `Some` takes no more room, so nothing moves here.
        let each = |room: Vec<Diagnosis>| room.into_iter().map(Some).collect::<Vec<_>>();
        let mut rooms: Vec<Vec<_>> = self.rooms.into_iter().map(each).collect();
        Box::new(self.order.into_iter().filter_map(move |place| take(&mut rooms, place)))
    }
}

impl Extend<Diagnosis> for Connections {
    fn extend<T: IntoIterator<Item = Diagnosis>>(&mut self, all: T) {
        all.into_iter().for_each(|one| self.push(one));
    }
}

impl FromIterator<Diagnosis> for Connections {
    fn from_iter<T: IntoIterator<Item = Diagnosis>>(all: T) -> Self {
        let mut connections = Self::default();
        connections.extend(all);
        connections
    }
}

#[cfg(test)]
impl std::ops::Index<usize> for Connections {
    type Output = Diagnosis;

    fn index(&self, number: usize) -> &Diagnosis {
        at(&self.rooms, self.order[number]).expect("every place is taken")
    }
}

#[cfg(test)]
mod tests {
    use halfopen_core::{Cookie, Thresholds};

    use super::*;
    use crate::fixtures::observation;

    fn numbered(numbers: impl IntoIterator<Item = u64>) -> Connections {
        let judged = |number| Diagnosis::of(observation(number), &Thresholds::default());
        numbers.into_iter().map(judged).collect()
    }

    fn number(one: &Diagnosis) -> u64 {
        let Cookie(number) = one.observation.sample.id.cookie;
        number
    }

    fn numbers(connections: &Connections) -> Vec<u64> {
        connections.iter().map(number).collect()
    }

    #[test]
    fn connections_of_several_rooms_are_put_in_order_and_taken_out_in_it() {
        let (few, many) = (numbered(0..3), numbered((3..500).rev()));
        let mut all = few;
        all.append(many);
        assert!(all.rooms.len() > 3, "{}", all.rooms.len());
        all.sort_by_cached_key(number);
        assert_eq!((all.len(), numbers(&all)), (500, (0..500).collect()));
        all.retain(|one| number(one) % 2 == 1);
        all.truncate(100);
        let odd: Vec<u64> = (0..100).map(|half| half * 2 + 1).collect();
        assert_eq!((numbers(&all), all.first().map(number)), (odd.clone(), Some(1)));
        assert_eq!(all.into_iter().map(|one| number(&one)).collect::<Vec<_>>(), odd);
    }

    #[test]
    fn those_that_are_alike_stay_in_their_order_however_many_there_are() {
        let count = 3 * PART_MIN as u64 + 7;
        let mut all = numbered((0..count).rev());
        all.sort_by_cached_key(|one| number(one) % 3);
        let expected = (0..3).flat_map(|rest| (0..count).rev().filter(move |one| one % 3 == rest));
        assert_eq!(numbers(&all), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_connection_that_is_changed_keeps_its_place() {
        let mut all = numbered(0..200);
        all.sort_by_cached_key(|one| std::cmp::Reverse(number(one)));
        let last = all.iter_mut().last().unwrap();
        last.observation.sample.id.cookie = Cookie(7_000);
        assert_eq!((all[0].observation.sample.id.cookie, all.len()), (Cookie(199), 200));
        assert_eq!(numbers(&all).last(), Some(&7_000));
    }

    #[test]
    fn none_is_none() {
        let mut none = Connections::default();
        none.append(Connections::default());
        assert!(none.is_empty() && none.first().is_none() && none.into_iter().next().is_none());
    }
}
