//! Owns the sharing of much work among the cores. Knows nothing of the work.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// A piece fits the cache of a core, and is handed out in no time beside what is done with it.
const PIECE: usize = 256;

/// Memory is given back in portions that are worth the call.
const PORTION: usize = 32 * PIECE;

/// Work that can be handed out piece by piece.
pub(crate) trait Pile: Sized + Send {
    /// How many items are left.
    fn height(&self) -> usize;

    /// Takes the items from the one numbered `first` on.
    fn take_from(&mut self, first: usize) -> Self;

    /// Gives back the memory of what has been taken.
    fn give_back_memory(&mut self);
}

impl<T: Send> Pile for Vec<T> {
    fn height(&self) -> usize {
        self.len()
    }

    fn take_from(&mut self, first: usize) -> Self {
        self.split_off(first)
    }

    fn give_back_memory(&mut self) {
        self.shrink_to_fit();
    }
}

/// Does `work` on all of `pile`, a piece at a time, on as many threads as there are cores: each is a
/// worker from `hire`, and all of them are given back. The memory of what has been handed out is
/// given back as the work goes on.
pub(crate) fn on_all_cores<P: Pile, W: Send>(
    pile: P,
    hire: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, P) + Sync,
) -> Vec<W> {
    if pile.height() <= PIECE {
        let mut worker = hire();
        work(&mut worker, pile);
        return vec![worker];
    }
    let left = Mutex::new(pile);
    let next = || {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let first = left.height().saturating_sub(1) / PIECE * PIECE;
        let piece = left.take_from(first);
        if first.is_multiple_of(PORTION) {
            left.give_back_memory();
        }
        Some(piece).filter(|piece| piece.height() > 0)
    };
    let work_on = || {
        let mut worker = hire();
        while let Some(piece) = next() {
            work(&mut worker, piece);
        }
        worker
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let others: Vec<_> = (1..cores)
            // Where no more threads may be started, those that there are do the work.
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work_on).ok())
            .collect();
        let mut workers = vec![work_on()];
        workers.extend(
            others.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
        );
        workers
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_at_every_boundary_of_pieces() {
        for length in [0, 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
            let add = |done: &mut Vec<usize>, mut piece: Vec<usize>| done.append(&mut piece);
            let mut done = on_all_cores((0..length).collect(), Vec::new, add).concat();
            done.sort_unstable();
            assert_eq!(done, (0..length).collect::<Vec<_>>());
        }
    }
}
