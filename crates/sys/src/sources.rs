//! Owns the choice between the sources of samples: by probing the host, never by its version.
//! Takes no sample. Read: proc(5) on /proc/net/sockstat and /proc/sys/fs/file-nr.

use std::{fs, sync::OnceLock};

use crate::bpf::{Bpf, BpfError};

/// Where samples may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sources {
    /// The best for this host: BPF iterators where they can be had and are worth their start,
    /// which is from some thousands of sockets on, else sock_diag and /proc.
    #[default]
    Auto,
    /// sock_diag, with owners and options through /proc.
    SockDiag,
    /// BPF iterators or nothing.
    Bpf,
}

/// The source that was chosen.
#[derive(Debug)]
pub(crate) enum Chosen {
    /// sock_diag, and why not BPF if that would have been better.
    SockDiag { instead_of: Option<BpfError> },
    /// BPF, with leave to take sock_diag where it fails.
    Bpf { bpf: &'static Bpf, or_sock_diag: bool },
}

impl Sources {
    /// Probes what can be had.
    pub(crate) fn choose(self) -> Result<Chosen, BpfError> {
        match self {
            Self::SockDiag => Ok(Chosen::SockDiag { instead_of: None }),
            Self::Bpf => Ok(Chosen::Bpf { bpf: opened()?, or_sock_diag: false }),
            Self::Auto if is_small() => Ok(Chosen::SockDiag { instead_of: None }),
            Self::Auto => Ok(match opened() {
                Ok(bpf) => Chosen::Bpf { bpf, or_sock_diag: true },
                Err(error) => Chosen::SockDiag { instead_of: Some(error) },
            }),
        }
    }
}

/// Opened once for the whole process: whoever looks again and again pays for it once.
fn opened() -> Result<&'static Bpf, BpfError> {
    static OPENED: OnceLock<Result<Bpf, BpfError>> = OnceLock::new();
    OPENED.get_or_init(Bpf::open).as_ref().map_err(Clone::clone)
}

/// Whether the host is so small that BPF would take longer to load than it saves. What cannot be
/// read counts as nothing.
fn is_small() -> bool {
    let files = fs::read_to_string("/proc/sys/fs/file-nr").ok();
    let open_files = files.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    let open_files: u64 = open_files.unwrap_or(0);
    open_files.saturating_add(tcp_sockets_here().unwrap_or(0)) < BPF_PAYS_FROM
}

/// How many TCP sockets the calling thread's namespace has, TIME-WAIT included; requests are not
/// counted, but each has a listener, which is. `None` where the kernel does not tell.
pub fn tcp_sockets_here() -> Option<u64> {
    let four = fs::read_to_string("/proc/thread-self/net/sockstat").ok()?;
    // A kernel without IPv6 has no such file.
    let six = fs::read_to_string("/proc/thread-self/net/sockstat6").unwrap_or_default();
    count_tcp(&four, &six)
}

/// For how many sockets to make room before those of this namespace are listed: moving what has been
/// gathered while it grows would take as long as gathering it, and leave holes.
pub(crate) fn tcp_sockets_expected() -> usize {
    /// More than hosts have in one namespace; beyond it memory is taken as it is needed.
    const EXPECTED_MAX: usize = 1 << 20;
    let count = tcp_sockets_here().and_then(|count| usize::try_from(count).ok());
    count.unwrap_or_default().min(EXPECTED_MAX)
}

fn count_tcp(four: &str, six: &str) -> Option<u64> {
    let number = |line: &str, word: &str| {
        let mut words = line.split_ascii_whitespace().skip_while(|found| *found != word);
        words.nth(1)?.parse::<u64>().ok()
    };
    let tcp = four.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let tcp6 = six.lines().find_map(|line| line.strip_prefix("TCP6:"));
    let six = tcp6.map_or(Some(0), |line| number(line, "inuse"))?;
    Some(number(tcp, "inuse")?.saturating_add(number(tcp, "tw")?).saturating_add(six))
}

/// Loading takes some 20 ms, in which sock_diag and /proc list about 5 µs per socket and
/// descriptor.
const BPF_PAYS_FROM: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKSTAT: &str = "sockets: used 62\nTCP: inuse 5 orphan 1 tw 2 alloc 9 mem 1\n";

    #[test]
    fn sockets_of_both_families_and_time_wait_are_counted() {
        assert_eq!(count_tcp(SOCKSTAT, "TCP6: inuse 4\nUDP6: inuse 1\n"), Some(11));
        assert_eq!(count_tcp(SOCKSTAT, ""), Some(7));
    }

    #[test]
    fn what_makes_no_sense_is_no_count() {
        assert_eq!(count_tcp("", ""), None);
        assert_eq!(count_tcp("TCP: inuse x tw 1", ""), None);
        assert_eq!(count_tcp(SOCKSTAT, "TCP6: nothing"), None);
    }

    #[test]
    fn a_socket_of_this_process_is_counted() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(tcp_sockets_here() > Some(0));
    }

    #[test]
    fn sock_diag_can_always_be_chosen() {
        let chosen = Sources::SockDiag.choose();
        assert!(matches!(chosen, Ok(Chosen::SockDiag { instead_of: None })), "{chosen:?}");
    }
}
