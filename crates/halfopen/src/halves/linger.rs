//! Owns the close that truncates nothing. A plain close(2) with unread bytes in the receive queue, or
//! before the peer has stopped sending, makes the kernel answer with RST, and RST destroys what the
//! peer has not read yet of ours. Read: RFC 9293 section 3.10.4, RFC 9112 section 9.6.

use std::{io, time::Duration};

use tokio::{io::AsyncReadExt as _, time::timeout_at};

use super::{Receiving, Sending};
use crate::clock::deadline;

/// A connection that was closed with nothing lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lingered {
    /// Bytes that the peer sent after we had stopped listening.
    pub discarded: u64,
}

/// Why a lingering close did not come to its end, with the connection, so that its owner can decide.
#[derive(Debug, thiserror::Error)]
#[error("close the connection: {cause}; wait on, or reset it")]
#[non_exhaustive]
pub struct StillSending {
    /// Our direction; FIN is sent.
    pub sending: Sending,
    /// The peer's direction.
    pub receiving: Receiving,
    /// Bytes that the peer sent after we had stopped listening.
    pub discarded: u64,
    /// [`io::ErrorKind::TimedOut`], or what ended the connection.
    pub cause: io::Error,
}

/// Sends FIN, reads what the peer still sends and throws it away until its FIN comes, and only then
/// closes: the peer can read to our end, whatever it is doing. Not cancel-safe: a dropped future drops
/// both halves.
///
/// # Errors
/// [`StillSending`], with both halves, if the peer's FIN does not come `within` this time or the
/// connection breaks. Nothing is reset here.
pub async fn lingering_close(
    mut sending: Sending,
    mut receiving: Receiving,
    within: Duration,
) -> Result<Lingered, StillSending> {
    let deadline = deadline(within);
    let mut discarded = 0;
    let outcome = match sending.finish() {
        Ok(()) => timeout_at(deadline, discard(&mut receiving, &mut discarded)).await,
        Err(error) => Ok(Err(error)),
    };
    match outcome {
        Ok(Ok(())) => Ok(Lingered { discarded }),
        Ok(Err(cause)) => Err(StillSending { sending, receiving, discarded, cause }),
        Err(_) => {
            let cause = io::Error::new(io::ErrorKind::TimedOut, "the peer has not finished yet");
            Err(StillSending { sending, receiving, discarded, cause })
        }
    }
}

async fn discard(receiving: &mut Receiving, discarded: &mut u64) -> io::Result<()> {
    let mut sink = vec![0; 16 * 1024];
    loop {
        match receiving.read(&mut sink).await? {
            0 => return Ok(()),
            read => *discarded += u64::try_from(read).unwrap_or(0),
        }
    }
}
