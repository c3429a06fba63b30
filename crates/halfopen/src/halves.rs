//! Owns half-close as types: each direction of a connection is a value whose state can be seen, and
//! whose end is said, not guessed. Read: RFC 9293 sections 3.6 and 3.10; RFC 9293 section 3.6.1 (half-closed).
//!
//! ```text
//!  Sending:    Open -- finish() --> FinSent            Receiving:  Open -- end of stream --> FinReceived
//!               |                      |                            |                             |
//!               +-- drop, reset(), error of either direction --> Reset <---------------------------+
//! ```

mod linger;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::death::Dead;
pub use linger::{Lingered, StillSending, lingering_close};

/// Where our direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendState {
    /// Bytes can be sent.
    Open,
    /// FIN is sent, behind all bytes; the peer can go on sending.
    FinSent,
    /// The connection was reset, by us or by the peer, or has broken.
    Reset,
}

/// Where the peer's direction stands, as far as it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReceiveState {
    /// More may come.
    Open,
    /// FIN was read: the peer sends nothing more, and everything that it sent has been read.
    FinReceived,
    /// The connection was reset, by us or by the peer, or has broken.
    Reset,
}

/// Our direction of a connection.
///
/// Dropping it before [`Sending::finish`] **resets the connection**: the peer gets RST, not a FIN that
/// would make a truncated stream look complete. Cancel-safe: what `write` has taken is sent.
#[derive(Debug)]
pub struct Sending(Arc<Connection>);

/// The peer's direction of a connection.
///
/// Dropping it lets our direction go on. What the peer then sends is not read; if there is any when
/// both halves are gone, the kernel answers with RST, which may destroy what the peer has not read yet
/// of ours: end with [`lingering_close`] where that matters. Cancel-safe: no byte is lost with a read
/// that is dropped.
#[derive(Debug)]
pub struct Receiving(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    sending: AtomicU8,
    receiving: AtomicU8,
}

const OPEN: u8 = 0;
const FIN: u8 = 1;
const RESET: u8 = 2;

/// Splits a connection into its two directions.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use halfopen::{ReceiveState, SendState, halves};
/// use tokio::{io::{AsyncReadExt as _, AsyncWriteExt as _}, net::{TcpListener, TcpStream}};
///
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// # let (mut server, _) = listener.accept().await?;
/// let (mut sending, mut receiving) = halves(client);
/// sending.write_all(b"the whole request").await?;
/// sending.finish()?;
/// assert_eq!(sending.state(), SendState::FinSent);
///
/// // The peer sees the end of the request, and answers all the same.
/// let mut request = String::new();
/// server.read_to_string(&mut request).await?;
/// server.write_all(b"the answer").await?;
/// drop(server);
///
/// let mut answer = String::new();
/// receiving.read_to_string(&mut answer).await?;
/// assert_eq!(receiving.state(), ReceiveState::FinReceived);
/// # assert_eq!((request.as_str(), answer.as_str()), ("the whole request", "the answer"));
/// # Ok(())
/// # }
/// ```
pub fn halves(stream: TcpStream) -> (Sending, Receiving) {
    let connection = Arc::new(Connection {
        stream,
        sending: AtomicU8::new(OPEN),
        receiving: AtomicU8::new(OPEN),
    });
    (Sending(Arc::clone(&connection)), Receiving(connection))
}

impl Connection {
    /// Ends both directions at once. Returns at once where it is over already.
    fn reset(&self) {
        let was = self.sending.swap(RESET, Ordering::AcqRel);
        self.receiving.store(RESET, Ordering::Release);
        if was == RESET {
            return;
        }
        // A connection that refuses is over, and its peer has been told by the kernel.
        let _ = reset(&self.stream);
    }

    /// Notes what an error means for both directions.
    fn note(&self, error: &io::Error) {
        if Dead::from_system(error).is_some() {
            self.sending.store(RESET, Ordering::Release);
            self.receiving.store(RESET, Ordering::Release);
        }
    }
}

/// Sends RST now, on Linux also while others still hold the socket; elsewhere when the last of them
/// closes it.
pub(crate) fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO))?;
    #[cfg(target_os = "linux")]
    halfopen_sys::own::reset(std::os::fd::AsFd::as_fd(stream))?;
    Ok(())
}

impl Sending {
    /// Where our direction stands.
    pub fn state(&self) -> SendState {
        match self.0.sending.load(Ordering::Acquire) {
            OPEN => SendState::Open,
            FIN => SendState::FinSent,
            _ => SendState::Reset,
        }
    }

    /// Says that nothing more will be sent: FIN goes out behind all bytes. The peer's direction stays
    /// open. Does nothing if it was said before.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] where the connection is over, or what shutdown(2) answers.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.state() {
            SendState::FinSent => Ok(()),
            SendState::Reset => Err(over()),
            SendState::Open => {
                let done = SockRef::from(&self.0.stream).shutdown(std::net::Shutdown::Write);
                match &done {
                    Ok(()) => self.0.sending.store(FIN, Ordering::Release),
                    Err(error) => self.0.note(error),
                }
                done
            }
        }
    }

    /// Breaks the connection off in both directions: the peer gets RST. What it has not read is lost.
    pub fn reset(self) {
        self.0.reset();
    }

    /// The stream of both directions, for its options and addresses.
    pub fn stream(&self) -> &TcpStream {
        &self.0.stream
    }

    /// Puts both directions together again, as they are.
    ///
    /// # Errors
    /// Both halves, if they are not of one connection.
    pub fn reunite(self, receiving: Receiving) -> Result<TcpStream, (Self, Receiving)> {
        if !Arc::ptr_eq(&self.0, &receiving.0) {
            return Err((self, receiving));
        }
        // From here on the stream's own rules hold.
        let _ = self.0.sending.compare_exchange(OPEN, FIN, Ordering::AcqRel, Ordering::Acquire);
        let connection = Arc::clone(&self.0);
        drop((self, receiving));
        Arc::try_unwrap(connection).map(|connection| connection.stream).map_err(|connection| {
            // Nobody else can hold it: both halves were given up above.
            (Self(Arc::clone(&connection)), Receiving(connection))
        })
    }
}

impl Receiving {
    /// Where the peer's direction stands.
    pub fn state(&self) -> ReceiveState {
        match self.0.receiving.load(Ordering::Acquire) {
            OPEN => ReceiveState::Open,
            FIN => ReceiveState::FinReceived,
            _ => ReceiveState::Reset,
        }
    }

    /// Breaks the connection off in both directions: the peer gets RST.
    pub fn reset(self) {
        self.0.reset();
    }

    /// The stream of both directions, for its options and addresses.
    pub fn stream(&self) -> &TcpStream {
        &self.0.stream
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.state() == SendState::Open {
            self.0.reset();
        }
    }
}

impl AsyncWrite for Sending {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.state() {
            SendState::Open => {}
            SendState::FinSent => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            SendState::Reset => return Poll::Ready(Err(over())),
        }
        loop {
            ready!(self.0.stream.poll_write_ready(context))?;
            match self.0.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.0.note(&error);
                    return Poll::Ready(Err(error));
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// As [`Sending::finish`].
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().finish())
    }
}

impl AsyncRead for Receiving {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.state() {
            ReceiveState::Open => {}
            ReceiveState::FinReceived => return Poll::Ready(Ok(())),
            ReceiveState::Reset => return Poll::Ready(Err(over())),
        }
        loop {
            ready!(self.0.stream.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            let is_room = !room.is_empty();
            match self.0.stream.try_read(room) {
                Ok(0) if is_room => {
                    // A reset that came meanwhile is worse news, and stays.
                    let state = &self.0.receiving;
                    let _ = state.compare_exchange(OPEN, FIN, Ordering::AcqRel, Ordering::Acquire);
                    return Poll::Ready(Ok(()));
                }
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.0.note(&error);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

fn over() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection was reset or has broken")
}

#[cfg(test)]
mod tests;
