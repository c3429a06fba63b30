//! Owns the window probe: setsockopt(TCP_REPAIR, 0) on a socket that is not in repair makes the kernel
//! send one segment that the peer has to answer, and clears SO_REUSEADDR, which is given back at once.
//! Read: linux net/ipv4/tcp.c `do_tcp_setsockopt` (TCP_REPAIR_OFF), tcp_output.c `tcp_send_window_probe`.

use std::os::fd::{AsFd as _, BorrowedFd};

use halfopen_core::Moment;
use rustix::net::sockopt;

use super::{ProbeError, Prober, Sent, Target};
use crate::{
    boottime,
    journal::{JournalError, Turn, Was},
    syscall,
};

impl Prober {
    /// Sends a window probe on each of `targets`, which should be ESTABLISHED: elsewhere the kernel
    /// takes the call and sends nothing.
    ///
    /// # Errors
    /// [`JournalError`] where SO_REUSEADDR could not be written down first; nothing was touched then.
    pub fn window_probes(&mut self, targets: &[Target]) -> Result<Sent, JournalError> {
        let turn = self.journal.turn()?;
        let reuse: Vec<_> =
            targets.iter().map(|target| self.reuse_address(target, &turn)).collect();
        // Also those that have nothing to be given back: nobody else is to probe them meanwhile.
        let noted = targets.iter().zip(&reuse);
        let entries: Vec<_> = noted
            .filter_map(|(target, was)| Some(target.entry(Was::ReuseAddress(*was.as_ref().ok()?))))
            .collect();
        let note = self.journal.note(turn, &entries)?;
        let mut all_given_back = true;
        let mut sent = Sent::with_capacity(targets.len());
        for (target, reuse) in targets.iter().zip(reuse) {
            let probed = reuse.and_then(|noted| match self.window_probe(target, noted)? {
                Probed::Sent { at, given_back } => {
                    all_given_back &= given_back;
                    Ok(at)
                }
                // Its application has set the option since it was read: the next round notes it.
                Probed::NotNoted => Err(ProbeError::NotSent),
            });
            sent.push(probed);
        }
        if all_given_back {
            note.done();
        }
        Ok(sent)
    }

    fn reuse_address(&mut self, target: &Target, turn: &Turn) -> Result<bool, ProbeError> {
        if !turn.is_free(target.id) {
            return Err(ProbeError::InFlight);
        }
        if let Some(known) = target.reuse_address {
            return Ok(known);
        }
        let duplicate = self.duplicate(target)?;
        sockopt::socket_reuseaddr(&duplicate)
            .map_err(|errno| ProbeError::Failed { cause: errno.into() })
    }

    fn window_probe(&mut self, target: &Target, noted: bool) -> Result<Probed, ProbeError> {
        let duplicate = self.duplicate(target)?;
        probe(duplicate.as_fd(), noted)
    }
}

/// What became of one.
enum Probed {
    /// It was sent, and SO_REUSEADDR is as it was, unless that was refused.
    Sent { at: Moment, given_back: bool },
    /// SO_REUSEADDR is on and that was not written down, so nothing was done.
    NotNoted,
}

fn probe(socket: BorrowedFd<'_>, noted: bool) -> Result<Probed, ProbeError> {
    let failed = |cause| ProbeError::of(cause, "CAP_NET_ADMIN");
    let reuse = sockopt::socket_reuseaddr(socket)
        .map_err(|errno| ProbeError::Failed { cause: errno.into() })?;
    if reuse && !noted {
        return Ok(Probed::NotNoted);
    }
    let repair = syscall::socket_option(socket, libc::IPPROTO_TCP, TCP_REPAIR).map_err(failed)?;
    if repair != 0 {
        return Err(ProbeError::InRepair);
    }
    let at = boottime::now();
    syscall::set_socket_option(socket, libc::IPPROTO_TCP, TCP_REPAIR, 0).map_err(failed)?;
    let given_back = !reuse || sockopt::set_socket_reuseaddr(socket, true).is_ok();
    Ok(Probed::Sent { at, given_back })
}

/// TCP_REPAIR of uapi/linux/tcp.h. Only ever set to 0 here.
const TCP_REPAIR: libc::c_int = 19;
