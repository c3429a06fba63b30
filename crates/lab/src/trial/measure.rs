//! Owns the stop-watch of a trial: when did the kernel give a connection up, and what did it say?

use std::time::Duration;

use halfopen_core::{Moment, Sample};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use socket2::Socket;

use super::{Ended, TrialError};
use crate::wait;

/// Waits until the kernel tells the owner of `socket`, no longer than `watch` after `from`.
pub(super) fn end_of_owned(
    socket: &Socket,
    from: Moment,
    watch: Duration,
) -> Result<Option<Ended>, TrialError> {
    let failed = |doing| move |cause| TrialError::Socket { doing, cause };
    loop {
        let left = watch.saturating_sub(halfopen_sys::now().since(from));
        // POLLERR and POLLHUP are always told; anything else is no end.
        let mut polled = [PollFd::new(socket, PollFlags::empty())];
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut polled, timeout.as_ref()) {
            Ok(0) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("wait for the end")(errno.into())),
            Ok(_) => {
                let after = halfopen_sys::now().since(from);
                return with_errno(Ended { after, errno: None }, socket).map(Some);
            }
        }
    }
}

/// Waits until the kernel no longer knows the connection, which nobody needs to own, no longer than `watch` after `from`.
pub(super) fn end_in_table(
    mut sample: impl FnMut() -> Result<Option<Sample>, TrialError>,
    from: Moment,
    watch: Duration,
) -> Result<Option<Ended>, TrialError> {
    let left = watch.saturating_sub(halfopen_sys::now().since(from));
    let ended = wait::until(left, || match sample() {
        Ok(Some(_)) => None,
        Ok(None) => Some(Ok(Ended { after: halfopen_sys::now().since(from), errno: None })),
        Err(error) => Some(Err(error)),
    });
    ended.transpose()
}

/// The end, with what the kernel then tells the owner of `socket`.
pub(super) fn with_errno(ended: Ended, socket: &Socket) -> Result<Ended, TrialError> {
    let failed = |cause| TrialError::Socket { doing: "read SO_ERROR", cause };
    let error = socket.take_error().map_err(failed)?;
    Ok(Ended { errno: error.and_then(|error| error.raw_os_error()), ..ended })
}
