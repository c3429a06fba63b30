//! Owns the look that ends in memory: every connection seen and judged, nothing written.

use std::sync::{Mutex, PoisonError};

use anyhow::ensure;
use halfopen_core::{Diagnosis, Thresholds};
use halfopen_sys::{Ask, Scope, Sources, survey_each};

use crate::arguments::SourceKey;

/// Looks at the namespace of this process and judges all of it.
pub(crate) fn run(source: SourceKey, owners: bool) -> anyhow::Result<()> {
    let sources = match source {
        SourceKey::SockDiag => Sources::SockDiag,
        SourceKey::Bpf => Sources::Bpf,
    };
    let thresholds = Thresholds::default();
    let judged = Mutex::new(Vec::new());
    survey_each(&Ask { sources, owners, ..Ask::all(Scope::Current) }, |piece| {
        let piece: Vec<_> =
            piece.into_iter().map(|seen| Diagnosis::of(seen, &thresholds)).collect();
        judged.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    })?;
    let judged = judged.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count: usize = judged.iter().map(Vec::len).sum();
    ensure!(count > 0, "there is no connection here");
    println!("{count}");
    // Giving the memory back one by one is no part of a look; `halfopen` ends without it too.
    std::mem::forget(judged);
    Ok(())
}
