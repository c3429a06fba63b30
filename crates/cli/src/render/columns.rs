//! Owns the fitting of columns into a width: which stay, and how wide. Pure.

/// What a column would like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// The width at which nothing is cut.
    pub natural: usize,
    /// The width below which the column is worth nothing.
    pub least: usize,
    /// Its importance; 0 always stays, the highest is dropped first.
    pub rank: u8,
}

/// Between two columns.
pub(super) const GAP: usize = 2;

/// The width of each column, `None` for those dropped. Columns of rank 0 stay, and are cut to their
/// least only if nothing else helps; the others come in by rank while their least fits, and what
/// room is left then widens the columns by rank.
pub(super) fn fit(wishes: &[Wish], width: usize) -> Vec<Option<usize>> {
    let mut chosen: Vec<Option<usize>> =
        wishes.iter().map(|wish| (wish.rank == 0).then_some(wish.least)).collect();
    widen(&mut chosen, wishes, width);
    let mut by_rank: Vec<_> = (0..wishes.len()).collect();
    by_rank.sort_by_key(|at| wishes.get(*at).map(|wish| wish.rank));
    for at in by_rank {
        let (Some(wish), Some(None)) = (wishes.get(at), chosen.get(at)) else { continue };
        if used(&chosen) + GAP + wish.least <= width
            && let Some(slot) = chosen.get_mut(at)
        {
            *slot = Some(wish.least);
        }
    }
    widen(&mut chosen, wishes, width);
    chosen
}

/// Gives the room that is left to the chosen columns, most important first.
fn widen(chosen: &mut [Option<usize>], wishes: &[Wish], width: usize) {
    let ranks = wishes.iter().map(|wish| wish.rank).max().unwrap_or(0);
    for rank in 0..=ranks {
        for (at, wish) in wishes.iter().enumerate().filter(|(_, wish)| wish.rank == rank) {
            let room = width.saturating_sub(used(chosen));
            if let Some(Some(columns)) = chosen.get_mut(at) {
                *columns += room.min(wish.natural.saturating_sub(*columns));
            }
        }
    }
}

fn used(chosen: &[Option<usize>]) -> usize {
    let (count, sum) =
        chosen.iter().flatten().fold((0, 0), |(count, sum), columns| (count + 1, sum + columns));
    sum + GAP * usize::saturating_sub(count, 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn wish(rank: u8, least: usize, natural: usize) -> Wish {
        Wish { natural, least, rank }
    }

    #[test]
    fn the_least_important_column_goes_first_and_what_is_left_is_shared_out() {
        let wishes = [wish(0, 10, 10), wish(2, 6, 20), wish(1, 8, 30)];
        assert_eq!(fit(&wishes, 64), [Some(10), Some(20), Some(30)]);
        assert_eq!(fit(&wishes, 50), [Some(10), Some(6), Some(30)]);
        assert_eq!(fit(&wishes, 28), [Some(10), Some(6), Some(8)]);
        assert_eq!(fit(&wishes, 27), [Some(10), None, Some(15)]);
        assert_eq!(fit(&wishes, 19), [Some(10), Some(7), None]);
        assert_eq!(fit(&wishes, 10), [Some(10), None, None]);
    }

    #[test]
    fn what_must_stay_is_cut_only_if_it_does_not_fit() {
        assert_eq!(fit(&[wish(0, 5, 30), wish(0, 5, 5)], 37), [Some(30), Some(5)]);
        assert_eq!(fit(&[wish(0, 5, 30), wish(0, 5, 5)], 20), [Some(13), Some(5)]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_the_page_but_what_must_stay(
            wishes in proptest::collection::vec((0u8..4, 1usize..20, 0usize..40), 1..9),
            width in 20usize..200,
        ) {
            let wishes: Vec<_> =
                wishes.into_iter().map(|(rank, least, more)| wish(rank, least, least + more)).collect();
            let chosen = fit(&wishes, width);
            let floor: Vec<_> = wishes.iter().map(|one| (one.rank == 0).then_some(one.least)).collect();
            prop_assert!(used(&chosen) <= width.max(used(&floor)));
            for (slot, wish) in chosen.iter().zip(&wishes) {
                prop_assert!(slot.is_none_or(|columns| columns >= wish.least && columns <= wish.natural));
                prop_assert!(slot.is_some() || wish.rank > 0);
            }
        }
    }
}
