//! Owns the sharing of much work among the cores. Knows nothing of the work.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// A piece fits the cache of a core, and is handed out in no time beside what is done with it.
const PIECE: usize = 256;

/// Memory is given back in portions that are worth the call.
const PORTION: usize = 32 * PIECE;

/// Does `work` on all of `items`, a piece at a time, on as many threads as there are cores. The
/// memory of what has been handed out is given back as the work goes on.
pub(super) fn on_all_cores<T: Send>(items: Vec<T>, work: impl Fn(Vec<T>) + Sync) {
    if items.len() <= PIECE {
        return work(items);
    }
    let left = Mutex::new(items);
    let next = || {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let first = left.len().saturating_sub(PIECE);
        let piece = left.split_off(first);
        if left.capacity() - left.len() >= PORTION {
            left.shrink_to_fit();
        }
        Some(piece).filter(|piece| !piece.is_empty())
    };
    let work_on = || {
        while let Some(piece) = next() {
            work(piece);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..cores {
            // Where no more threads may be started, those that there are do the work.
            let _ = thread::Builder::new().spawn_scoped(scope, work_on);
        }
        work_on();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_at_every_boundary_of_pieces() {
        for length in [0, 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
            let done = Mutex::new(Vec::new());
            on_all_cores((0..length).collect(), |mut piece| {
                done.lock().unwrap().append(&mut piece)
            });
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!(done, (0..length).collect::<Vec<_>>());
        }
    }
}
