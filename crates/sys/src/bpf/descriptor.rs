//! Owns the bytes that the BPF program writes for one descriptor of a socket. Pure.
//! Read: bpf/sockets.bpf.c (`struct descriptor`).

/// A process holds a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Descriptor {
    /// The address of the `struct socket`.
    pub socket: u64,
    /// The process, as the initial pid namespace numbers it.
    pub pid: u32,
    /// The descriptor's number in that process.
    pub fd: u32,
}

/// How long it is, in bytes.
pub const LENGTH: usize = 16;

/// Decodes the first [`LENGTH`] bytes; `None` where there are fewer.
pub fn decode(bytes: &[u8]) -> Option<Descriptor> {
    let (socket, rest) = bytes.split_first_chunk()?;
    let (pid, rest) = rest.split_first_chunk()?;
    let (fd, _) = rest.split_first_chunk()?;
    Some(Descriptor {
        socket: u64::from_ne_bytes(*socket),
        pid: u32::from_ne_bytes(*pid),
        fd: u32::from_ne_bytes(*fd),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_are_a_descriptor_and_fewer_are_none() {
        let mut bytes = 7_u64.to_ne_bytes().to_vec();
        bytes.extend(42_u32.to_ne_bytes());
        bytes.extend(3_u32.to_ne_bytes());
        assert_eq!(decode(&bytes), Some(Descriptor { socket: 7, pid: 42, fd: 3 }));
        assert_eq!(decode(&bytes[..15]), None);
    }
}
