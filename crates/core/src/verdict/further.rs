//! Owns the list of what a verdict rests on beyond its first fact. There is one for every connection
//! of a host, and as a rule it has two entries at most, which take no memory elsewhere.

use crate::evidence::Evidence;

/// Further facts, in the order that they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Further {
    /// Two at most, the empty places last.
    Few([Option<Evidence>; 2]),
    /// Three or more.
    Many(Vec<Evidence>),
}

impl Further {
    /// No more than the first.
    pub(super) const NONE: Self = Self::Few([None, None]);

    /// Adds one at the end.
    pub(super) fn push(&mut self, one: Evidence) {
        match self {
            Self::Few([place @ None, _] | [Some(_), place @ None]) => *place = Some(one),
            Self::Few(places) => {
                let few = places.iter_mut().filter_map(Option::take);
                *self = Self::Many(few.chain([one]).collect());
            }
            Self::Many(all) => all.push(one),
        }
    }

    /// Each of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Evidence> {
        let (few, many) = match self {
            Self::Few(places) => (places.as_slice(), [].as_slice()),
            Self::Many(all) => ([].as_slice(), all.as_slice()),
        };
        few.iter().flatten().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_told_in_the_order_that_it_came_in() {
        let fact = |count| Evidence::SiblingsHeard { count };
        for count in 0..5 {
            let mut further = Further::NONE;
            (0..count).for_each(|one| further.push(fact(one)));
            assert_eq!(
                further.iter().cloned().collect::<Vec<_>>(),
                (0..count).map(fact).collect::<Vec<_>>()
            );
        }
        assert_eq!(size_of::<Further>(), 2 * size_of::<Evidence>());
        assert_eq!(size_of::<Evidence>(), 24);
    }
}
