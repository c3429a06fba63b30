//! Owns the reading of a namespace's TCP sysctls. Writes none.
//! Read: linux Documentation/networking/ip-sysctl.rst, net/ipv4/sysctl_net_ipv4.c.

use std::{fs, io, path::Path, time::Duration};

use halfopen_core::Sysctls;

/// The sysctls of the calling thread's namespace: /proc/sys/net shows that of the thread which
/// opens the file (linux net/sysctl_net.c `net_ctl_header_lookup`).
///
/// A sysctl that this kernel does not have is given as the constant that such kernels are compiled
/// with; one that may not be read is `None`, as is everything where /proc/sys is not there.
pub fn sysctls() -> Sysctls {
    read(Path::new("/proc/sys/net/ipv4"))
}

fn read(directory: &Path) -> Sysctls {
    let number = |name: &str| number(directory, name).unwrap_or_default();
    // Where the kernel has no such sysctl, though it has the others.
    let or_built_in = |name: &str, built_in: u32| match self::number(directory, name) {
        Err(Missing) if directory.is_dir() => Some(built_in),
        said => said.unwrap_or_default(),
    };
    let seconds = |name: &str| number(name).map(|s| Duration::from_secs(s.into()));
    Sysctls {
        keepalive_time: seconds("tcp_keepalive_time"),
        keepalive_interval: seconds("tcp_keepalive_intvl"),
        keepalive_probes: number("tcp_keepalive_probes"),
        retries2: number("tcp_retries2"),
        orphan_retries: number("tcp_orphan_retries"),
        syn_retries: number("tcp_syn_retries"),
        // Before 6.5 the time-out of a SYN doubles from the first one on.
        syn_linear_timeouts: or_built_in("tcp_syn_linear_timeouts", 0),
        synack_retries: number("tcp_synack_retries"),
        fin_timeout: seconds("tcp_fin_timeout"),
        // TCP_RTO_MIN and TCP_RTO_MAX of include/net/tcp.h.
        rto_min: or_built_in("tcp_rto_min_us", 200_000).map(|us| Duration::from_micros(us.into())),
        rto_max: or_built_in("tcp_rto_max_ms", 120_000).map(|ms| Duration::from_millis(ms.into())),
        early_retransmit: number("tcp_early_retrans"),
        thin_linear_timeouts: number("tcp_thin_linear_timeouts").map(|value| value != 0),
    }
}

/// There is no such file.
struct Missing;

/// `Ok(None)` if the file is there and says nothing that we understand.
fn number(directory: &Path, name: &str) -> Result<Option<u32>, Missing> {
    match fs::read_to_string(directory.join(name)) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(Missing),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_answers_for_every_sysctl() {
        let told = sysctls();
        assert!(told.keepalive_time.is_some() && told.keepalive_interval.is_some());
        assert!(told.keepalive_probes.is_some() && told.retries2.is_some());
        assert!(told.orphan_retries.is_some() && told.syn_retries.is_some());
        assert!(told.syn_linear_timeouts.is_some() && told.synack_retries.is_some());
        assert!(told.fin_timeout.is_some() && told.rto_min.is_some() && told.rto_max.is_some());
        assert!(told.early_retransmit.is_some() && told.thin_linear_timeouts.is_some());
    }

    #[test]
    fn an_older_kernel_has_its_constants_in_place_of_missing_files() {
        // A directory that is there and holds none of the files.
        let told = read(Path::new("/proc/sys/net"));
        assert_eq!(told.syn_linear_timeouts, Some(0));
        assert_eq!(told.rto_min, Some(Duration::from_millis(200)));
        assert_eq!(told.rto_max, Some(Duration::from_secs(120)));
        assert_eq!(told.retries2, None);
    }

    #[test]
    fn without_proc_nothing_is_known() {
        assert_eq!(read(Path::new("/nowhere")), Sysctls::default());
    }
}
