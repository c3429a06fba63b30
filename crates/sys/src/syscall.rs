//! Owns the system calls that no safe library wraps, each with the reason why it is sound.
//! Decides nothing. Read: getsockopt(2), setsockopt(2).
#![expect(unsafe_code, reason = "the one place for it: foreign function calls")]

pub(crate) mod bpf;
pub(crate) mod ethtool;
pub(crate) mod memory;
pub(crate) mod packet;
pub(crate) mod stream;

use std::{
    ffi::c_int,
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// A socket option that is one C `int`.
pub(crate) fn socket_option(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = const { size_of::<c_int>() as libc::socklen_t };
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `value` and `length` live until
    // the call returns, and the kernel writes at most `length` bytes, the size of `value`.
    let outcome = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// A socket option of many bytes: as many as the kernel gives, `bytes.len()` at most. Returns how many.
pub(crate) fn socket_option_bytes(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    bytes: &mut [u8],
) -> io::Result<usize> {
    let mut length = libc::socklen_t::try_from(bytes.len()).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `bytes` and `length` live until
    // the call returns, and the kernel writes at most `length` bytes, which `bytes` has.
    let outcome = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, bytes.as_mut_ptr().cast(), &raw mut length)
    };
    let given = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(given) }
}

/// Sets a socket option that is one C `int`.
pub(crate) fn set_socket_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    let length = const { size_of::<c_int>() as libc::socklen_t };
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `value` lives until the call
    // returns, and the kernel reads at most `length` bytes, the size of `value`.
    let outcome =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
