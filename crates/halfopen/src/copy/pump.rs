//! Owns one direction of a copy: bytes, then FIN. Holds a buffer only while there are bytes in hand.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use socket2::SockRef;
use tokio::{net::TcpStream, time::Instant};

use super::Side;
use crate::death::{Dead, Evidence};

/// How far one direction has come.
pub(super) struct Progress {
    began: Instant,
    bytes: AtomicU64,
    /// Milliseconds from `began` to the last byte, or to the FIN.
    last_ms: AtomicU64,
    finished: AtomicBool,
}

impl Progress {
    pub(super) fn new(began: Instant) -> Self {
        Self {
            began,
            bytes: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }
}

/// Which end of a direction broke, and what shows it.
pub(super) enum At {
    From(Dead),
    To(Dead),
}

impl At {
    /// `from`: the side that was read from.
    pub(super) fn side(self, from: Side) -> (Side, Dead) {
        let to = match from {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        };
        match self {
            Self::From(dead) => (from, dead),
            Self::To(dead) => (to, dead),
        }
    }
}

/// Copies until `from` ends, and then ends `to`.
pub(super) async fn pump(
    from: &TcpStream,
    to: &TcpStream,
    room: usize,
    progress: &Progress,
) -> Result<(), At> {
    let broke = |error: io::Error| dead(&error);
    let mut buffer = Vec::new();
    loop {
        if buffer.is_empty() {
            from.readable().await.map_err(|error| At::From(broke(error)))?;
            buffer.reserve_exact(room);
        }
        match from.try_read_buf(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {
                write_all(to, &buffer, progress).await.map_err(|error| At::To(broke(error)))?;
                buffer.clear();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => buffer = Vec::new(),
            Err(error) => return Err(At::From(broke(error))),
        }
    }
    SockRef::from(to).shutdown(std::net::Shutdown::Write).map_err(|error| At::To(broke(error)))?;
    progress.add(0);
    progress.finished.store(true, Ordering::Relaxed);
    Ok(())
}

async fn write_all(to: &TcpStream, mut bytes: &[u8], progress: &Progress) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => {
                progress.add(written);
                bytes = bytes.get(written..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Any error of a socket that is copied ends the copy.
pub(super) fn dead(error: &io::Error) -> Dead {
    Dead::from_system(error).unwrap_or_else(|| {
        Evidence::System { kind: error.kind(), text: error.to_string().into() }.into()
    })
}
