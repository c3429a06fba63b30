//! Owns the end of `keep --future`: what `keep --undo` takes away again.

use halfopen_sys::bpf::future::{Attached, Ended};
use serde::Serialize;

use super::{super::record::Options, attached};
use crate::{
    audit::{ActResult, Audit},
    exit::Failure,
};

/// What came of it, for one cgroup.
#[derive(Debug, Serialize)]
pub(in super::super) struct EndedCgroup {
    pub(in super::super) path: String,
    /// Connections whose old options are back.
    pub(in super::super) restored: usize,
    /// Connections with options of somebody else by now.
    pub(in super::super) changed_since: usize,
    /// Why it could not be ended, or not all of it put back.
    pub(in super::super) failed: Vec<String>,
}

/// Ends what covers connections opened later, in every cgroup whose path contains one of `texts`, or
/// in all if there are none.
///
/// # Errors
/// [`Failure`] where that cannot be put on record, or cgroups cannot be listed.
pub(in super::super) fn end(
    texts: &[String],
    audit: impl FnOnce() -> Result<Audit, Failure>,
) -> Result<Vec<EndedCgroup>, Failure> {
    let all = attached().map_err(|error| Failure::System(format!("cannot {error}")))?;
    let is_meant = |one: &Attached| {
        texts.is_empty() || texts.iter().any(|text| one.cgroup().name().contains(text.as_str()))
    };
    let all: Vec<_> = all.into_iter().filter(is_meant).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let audit = audit()?;
    let names = all.iter().map(|one| one.cgroup().name().to_owned()).collect();
    let entries = audit.begin_cgroups("keep --undo", names)?;
    let mut done = Vec::with_capacity(all.len());
    for one in all {
        let before = one.options().ok().map(Options::from);
        let ended = one.end().unwrap_or_else(|error| Ended {
            failed: vec![format!("cannot {error}")],
            ..Ended::default()
        });
        let why = ended.failed.join("; ");
        let result =
            if ended.failed.is_empty() { ActResult::Done } else { ActResult::Failed(&why) };
        entries.record_cgroup(one.cgroup().name(), before.as_ref(), None, result)?;
        let Ended { restored, changed_since, failed } = ended;
        done.push(EndedCgroup {
            path: one.cgroup().name().to_owned(),
            restored,
            changed_since,
            failed,
        });
    }
    Ok(done)
}
