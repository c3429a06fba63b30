//! Owns the bytes of the kernel's socket interfaces: decoding them into the words of the core, and
//! encoding requests. Pure: opens nothing, never panics on foreign bytes, skips what it does not know.

pub mod answer;
pub mod ctnetlink;
pub mod inet_diag;
pub mod netlink;
pub mod tcp_info;

/// The integer of type `$int` at byte `$offset` of `$bytes`, in the host's byte order; `None` if
/// not all of it is there.
macro_rules! int_at {
    ($int:ty, $bytes:expr, $offset:expr) => {{
        let offset: usize = $offset;
        $bytes
            .get(offset..offset.saturating_add(size_of::<$int>()))
            .and_then(|bytes| bytes.try_into().ok())
            .map(<$int>::from_ne_bytes)
    }};
}
use int_at;

/// Bytes from the kernel that are not what its interface promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Fewer bytes than the thing takes.
    #[error(
        "decode {what} at byte {offset}: expected {expected} bytes, got {got}; the rest of it is lost"
    )]
    Short {
        /// The thing.
        what: &'static str,
        /// Where it starts, counted from the start of the bytes handed in.
        offset: usize,
        /// How long it is at least.
        expected: usize,
        /// How many bytes there are.
        got: usize,
    },
    /// A length field that cannot be true.
    #[error(
        "decode {what} at byte {offset}: its length field says {got}, expected {least} to {most}; the rest is lost"
    )]
    Length {
        /// The thing.
        what: &'static str,
        /// Where it starts, counted from the start of the bytes handed in.
        offset: usize,
        /// The least that is possible.
        least: usize,
        /// The most that is possible.
        most: usize,
        /// What the field says.
        got: usize,
    },
    /// A socket that is neither IPv4 nor IPv6.
    #[error(
        "decode a socket at byte {offset}: expected address family 2 or 10, got {got}; it is left out"
    )]
    Family {
        /// Where the field is, counted from the start of the bytes handed in.
        offset: usize,
        /// What the field says.
        got: u8,
    },
    /// A socket of a kind that the BPF program does not make.
    #[error(
        "decode a socket at byte {offset}: expected a kind of 0 to 2, got {got}; it is left out, since the BPF program is of another version"
    )]
    Kind {
        /// Where the field is, counted from the start of the bytes handed in.
        offset: usize,
        /// What the field says.
        got: u8,
    },
}
