//! Owns the putting into words of very long lists: on all cores, and yet in order. Knows no words.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel, sync_channel},
    thread,
};

/// Does `work` on `items`, piece by piece on all cores, and hands the results to `take` in order.
/// A few results are in memory at a time; `work` is given one that was taken, to use its memory.
///
/// # Errors
/// The first that `work` or `take` has.
pub(super) fn in_order<'i, T: Sync, R: Default + Send>(
    items: &'i [T],
    work: impl Fn(&'i [T], R) -> io::Result<R> + Sync,
    mut take: impl FnMut(&R) -> io::Result<()>,
) -> io::Result<()> {
    if items.len() <= PIECE {
        return items.chunks(PIECE).try_for_each(|piece| take(&work(piece, R::default())?));
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let start = |worker: usize| -> Option<Worker<R>> {
            let (sender, results) = sync_channel(AHEAD);
            let (give_back, taken) = channel();
            let work = &work;
            let pieces = items.chunks(PIECE).skip(worker).step_by(workers);
            let body = move || {
                for piece in pieces {
                    let old = taken.try_recv().unwrap_or_default();
                    // Nobody takes them once writing has failed.
                    if sender.send(work(piece, old)).is_err() {
                        return;
                    }
                }
            };
            thread::Builder::new().spawn_scoped(scope, body).ok()?;
            Some(Worker { results, give_back })
        };
        let all: Vec<_> = (0..workers).map(start).collect();
        for (piece, worker) in items.chunks(PIECE).zip(all.iter().cycle()) {
            // Where no thread could be started the work is done here.
            let done = worker.as_ref().and_then(|worker| worker.results.recv().ok());
            let result = done.unwrap_or_else(|| work(piece, R::default()))?;
            take(&result)?;
            // A worker that has done its part needs it no more.
            let _ = worker.as_ref().map(|worker| worker.give_back.send(result));
        }
        Ok(())
    })
}

/// A thread at work.
struct Worker<R> {
    results: Receiver<io::Result<R>>,
    /// What was taken goes back, to be written over.
    give_back: Sender<R>,
}

/// Enough that handing over costs nothing, little enough that a few pieces fit the cache.
pub(super) const PIECE: usize = 64;

/// So many results of one worker may wait to be taken.
const AHEAD: usize = 4;
