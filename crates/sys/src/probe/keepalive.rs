//! Owns the keepalive one-shot: keepalive is turned on with TCP_KEEPIDLE of one second, the kernel
//! sends one keepalive probe at once, and everything is given back.
//! Read: linux net/ipv4/tcp_timer.c `tcp_keepalive_timer`, tcp.c `tcp_sock_set_keepidle_locked`.

use std::{
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

use halfopen_core::Sample;

use super::{ProbeError, Prober, Sent, Target};
use crate::{
    boottime,
    journal::{self, JournalError, Restored, Turn, Was, entry::Keepalive},
    socket_diag::SocketDiag,
};

impl Prober {
    /// Makes the kernel send one keepalive probe on each of `targets`, which must not have been
    /// heard for a second and have nothing in flight; `diag` is of their namespace.
    ///
    /// The options are changed until the probes have gone out, which takes some milliseconds and
    /// never more than a tenth of a second; no duplicate is held meanwhile.
    ///
    /// # Errors
    /// [`JournalError`] where the options could not be written down first; nothing was touched then.
    pub fn keepalive_shots(
        &mut self,
        targets: &[Target],
        diag: &mut SocketDiag,
    ) -> Result<Sent, JournalError> {
        let turn = self.journal.turn()?;
        let read: Vec<_> = targets.iter().map(|target| self.keepalive_of(target, &turn)).collect();
        let noted = targets.iter().zip(&read);
        let entries: Vec<_> = noted
            .filter_map(|(target, read)| Some(target.entry(Was::Keepalive(*read.as_ref().ok()?))))
            .collect();
        if entries.is_empty() {
            return Ok(read.into_iter().map(|read| read.and(Err(ProbeError::NotSent))).collect());
        }
        let mut segments: Vec<_> =
            targets.iter().map(|target| segments_sent(target, diag)).collect();
        let note = self.journal.note(turn, &entries)?;
        let mut sent = Sent::with_capacity(targets.len());
        for (target, read) in targets.iter().zip(read) {
            sent.push(read.and_then(|was| {
                let duplicate = self.duplicate(target)?;
                let at = boottime::now();
                was.shoot(duplicate.as_fd()).map_err(|cause| ProbeError::Failed { cause })?;
                Ok(at)
            }));
        }
        wait_until_sent(targets, &mut sent, &mut segments, diag);
        let mut sum = Restored::default();
        if journal::put_back_all(&entries, &mut self.holders, &mut sum).is_empty() {
            note.done();
        }
        Ok(sent)
    }

    fn keepalive_of(&mut self, target: &Target, turn: &Turn) -> Result<Keepalive, ProbeError> {
        if !turn.is_free(target.id) {
            return Err(ProbeError::InFlight);
        }
        let duplicate = self.duplicate(target)?;
        let found = Keepalive::read(duplicate.as_fd());
        let found = found.map_err(|cause| ProbeError::Failed { cause })?;
        // Another user's run has other journals, and the library nudges without one.
        if found.is_shot() { Err(ProbeError::InFlight) } else { Ok(found) }
    }
}

/// Waits until every connection that was shot has sent a segment, or is gone; those that have not
/// in time become [`ProbeError::NotSent`].
fn wait_until_sent(
    targets: &[Target],
    sent: &mut Sent,
    before: &mut [Option<u32>],
    diag: &mut SocketDiag,
) {
    let deadline = Instant::now() + SENT_WITHIN;
    let shot = sent.iter().enumerate().filter(|(_, sent)| sent.is_ok());
    let mut waiting: Vec<usize> = shot.map(|(at, _)| at).collect();
    loop {
        waiting.retain(|at| {
            let target = targets.get(*at);
            let now = target.and_then(|target| segments_sent(target, diag));
            // One that is gone has been answered with a reset.
            now.is_some() && before.get(*at).copied().flatten() == now
        });
        if waiting.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            break;
        }
        thread::sleep(PAUSE);
    }
    for at in waiting {
        if let Some(sent) = sent.get_mut(at) {
            *sent = Err(ProbeError::NotSent);
        }
    }
}

/// `tcpi_segs_out`; `None` if the connection is gone, or this kernel does not count.
fn segments_sent(target: &Target, diag: &mut SocketDiag) -> Option<u32> {
    let found = diag.look_up(target.family, &target.endpoints, target.id.cookie);
    let sample: Option<Sample> = found.ok().flatten();
    sample?.info?.segments_sent
}

/// The timer fires with the next tick, in 10 ms at most, and 50 ms later if the application is in a
/// system call on the socket just then (tcp_keepalive_timer, `sock_owned_by_user`).
const SENT_WITHIN: Duration = Duration::from_millis(100);

/// A fraction of the fastest tick.
const PAUSE: Duration = Duration::from_micros(500);
