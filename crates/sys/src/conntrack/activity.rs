//! Owns what can be told of connection tracking without asking it: whether it is there, how many
//! entries the namespace has, and whether asking would load a kernel module.
//! Read: linux Documentation/networking/nf_conntrack-sysctl.rst, net/netfilter/nfnetlink.c
//! `nfnetlink_rcv_msg` (where asking loads the module).

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::Path,
    sync::OnceLock,
    time::Duration,
};

/// Whether connection tracking is at work in a namespace. This needs no privilege.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// The kernel does not have it, or has not loaded it.
    Absent,
    /// It is there, with so many entries (`nf_conntrack_count`) of all protocols. With none, no rule
    /// of the namespace asks for it, or nothing has passed.
    Entries(u64),
    /// It cannot be told; the reason.
    Hidden(String),
}

impl Activity {
    /// That of the calling thread's namespace.
    pub fn of_this_namespace() -> Self {
        Self::read(Path::new("/proc/sys/net"))
    }

    fn read(directory: &Path) -> Self {
        let path = directory.join("netfilter/nf_conntrack_count");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(count) => Self::Entries(count),
                Err(_) => Self::Hidden(format!("{} is not a number", path.display())),
            },
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                if directory.join("ipv4").is_dir() {
                    Self::Absent
                } else {
                    Self::Hidden(format!("{} is not there; is /proc mounted?", directory.display()))
                }
            }
            Err(cause) => Self::Hidden(format!("read {}: {cause}", path.display())),
        }
    }
}

/// `nf_conntrack_tcp_timeout_established` of the calling thread's namespace.
pub(super) fn established_timeout() -> Option<Duration> {
    sysctl("nf_conntrack_tcp_timeout_established").map(Duration::from_secs)
}

/// `nf_conntrack_buckets`: the size of the host's one table, which all namespaces share.
pub(super) fn buckets() -> Option<u64> {
    sysctl("nf_conntrack_buckets")
}

fn sysctl(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys/net/netfilter").join(name)).ok()?.trim().parse().ok()
}

/// Whether this kernel answers for connection tracking without loading a module first. What is
/// loaded may be unloaded again, so only yes is remembered.
pub(super) fn is_answering() -> bool {
    static ANSWERING: OnceLock<()> = OnceLock::new();
    if ANSWERING.get().is_some() {
        return true;
    }
    let answering = match File::open("/proc/modules") {
        Ok(modules) => {
            is_listed(BufReader::new(modules), is_the_module)
                || File::open("/proc/kallsyms")
                    .is_ok_and(|symbols| is_listed(BufReader::new(symbols), is_its_symbol))
        }
        // A kernel without modules loads none.
        Err(cause) => cause.kind() == io::ErrorKind::NotFound,
    };
    if answering {
        ANSWERING.get_or_init(|| ());
    }
    answering
}

fn is_listed(mut lines: impl BufRead, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(1..) if is_it(&line) => return true,
            Ok(1..) => {}
            Ok(0) | Err(_) => return false,
        }
    }
}

/// A line of /proc/modules begins with the module's name, and tells its state in the fifth field.
pub(crate) fn is_the_module(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| *byte == b' ');
    fields.next() == Some(b"nf_conntrack_netlink") && fields.nth(3) == Some(b"Live")
}

/// A line of /proc/kallsyms ends with the symbol's name, where it is built in. Only one that is
/// built in counts: the modules are in their own list.
pub(crate) fn is_its_symbol(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b" ctnetlink_dump_table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_module_is_told_from_one_that_is_leaving_and_from_its_user() {
        assert!(is_the_module(b"nf_conntrack_netlink 57344 0 - Live 0x0000000000000000\n"));
        assert!(!is_the_module(b"nf_conntrack_netlink 57344 0 - Unloading 0x0\n"));
        assert!(!is_the_module(b"nf_conntrack 196608 2 nf_nat,nf_conntrack_netlink, Live 0x0\n"));
        let modules: &[u8] = b"nfnetlink 20480 1 nf_tables, Live 0x0\n\
                               nf_conntrack_netlink 57344 0 - Live 0x0\n";
        assert!(is_listed(modules, is_the_module));
        assert!(!is_listed(&modules[..38], is_the_module));
    }

    #[test]
    fn a_built_in_symbol_is_told_from_one_of_a_module() {
        assert!(is_its_symbol(b"0000000000000000 t ctnetlink_dump_table\n"));
        assert!(!is_its_symbol(b"0000000000000000 t ctnetlink_dump_table_x\n"));
        assert!(!is_its_symbol(b"0 t ctnetlink_dump_table\t[nf_conntrack_netlink]\n"));
    }

    #[test]
    fn no_proc_is_hidden_and_no_counter_is_absent() {
        assert!(matches!(Activity::read(Path::new("/nowhere")), Activity::Hidden(_)));
        let empty = std::env::temp_dir().join(format!("halfopen-activity-{}", std::process::id()));
        fs::create_dir_all(empty.join("ipv4")).unwrap();
        let absent = Activity::read(&empty);
        fs::remove_dir_all(&empty).unwrap();
        assert_eq!(absent, Activity::Absent);
    }
}
