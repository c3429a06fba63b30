//! Owns the two calls by which the record layer reaches its socket. Decides nothing.

use std::{
    io::{self, Read, Write},
    os::fd::BorrowedFd,
};

use rustix::{
    io::retry_on_intr,
    net::{RecvFlags, SendFlags, recv, send},
};

/// A socket, as the record layer sees it.
#[derive(Debug)]
pub(crate) struct Wire<'a>(pub(crate) BorrowedFd<'a>);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (_, count) = retry_on_intr(|| recv(self.0, &mut *into, RecvFlags::empty()))?;
        Ok(count)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(retry_on_intr(|| send(self.0, bytes, SendFlags::NOSIGNAL))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
