//! Owns a host of the lab: a network, a pid and a mount namespace that live and die together.
//! Knows no cables and no addresses. Read: namespaces(7), unshare(1), nsenter(1), pid_namespaces(7).

use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use halfopen_core::NetnsId;
use halfopen_sys::{Netns, NetnsError, silence};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    program::{Program, parent_in},
    rootless::Owner,
    wait,
};

/// A host. Everything in it ends when it is dropped, and also when this process ends in any way:
/// its first process reads a pipe that only we hold open, and ends at the end of the file.
pub struct Host {
    name: String,
    running: Option<Running>,
}

/// What a host has while its power is on.
struct Running {
    /// `unshare`, the parent of the host's first process.
    maker: Child,
    /// The first process of the host's pid namespace, as we see it.
    pid: u32,
    netns: Netns,
}

impl Host {
    /// Makes a host and switches it on: own /proc, empty /run and /tmp, interfaces all down.
    ///
    /// # Errors
    /// [`HostError`], with what was refused.
    pub fn boot(name: &str) -> Result<Self, HostError> {
        let mut host = Self { name: name.to_owned(), running: None };
        host.boot_again()?;
        Ok(host)
    }

    /// Switches a host on that is off; does nothing to one that is on. Nothing of its former life remains.
    ///
    /// # Errors
    /// [`HostError`], with what was refused.
    pub fn boot_again(&mut self) -> Result<(), HostError> {
        if self.running.is_some() {
            return Ok(());
        }
        let failed = |cause| HostError::Boot { host: self.name.clone(), cause };
        let mut maker = Command::new("unshare")
            .args(["--net", "--", "/bin/sh", "-c", SMALL_TABLE, "host", "unshare"])
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child=KILL"])
            .args(["--propagation", "private", "--", "/bin/sh", "-c", FIRST_PROCESS, "host"])
            .args(env::current_exe().ok().and_then(|program| kept_below_tmp(&program)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut said = String::new();
        if let Some(stdout) = maker.stdout.take() {
            BufReader::new(stdout).read_line(&mut said).map_err(failed)?;
        }
        let found = said.trim().parse().map_err(|_| failed(refusal(&mut maker))).and_then(|pid| {
            let netns = Netns::of_process(pid)?;
            Ok((pid, netns))
        });
        let (pid, netns) = match found {
            Ok(found) => found,
            Err(refused) => {
                end(&mut maker, &[]);
                return Err(refused);
            }
        };
        self.running = Some(Running { maker, pid, netns });
        // The neighbour discovery of IPv6 would be noise in every capture.
        for scope in ["all", "default"] {
            let name = format!("net.ipv6.conf.{scope}.disable_ipv6");
            match self.set_sysctl(&name, "1") {
                // A kernel without IPv6 makes no noise either.
                Err(HostError::Sysctl { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                }
                done => done?,
            }
        }
        if Owner::of_this_lab().is_some() {
            // Where root would start a daemon, the user's own has to do.
            self.set_sysctl("net.ipv4.ip_unprivileged_port_start", "0")?;
        }
        Ok(())
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The power is on.
    pub const fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// The pid of the host's first process, as this process sees it: good for `nsenter --target`.
    ///
    /// # Errors
    /// [`HostError::Off`].
    pub fn pid(&self) -> Result<u32, HostError> {
        Ok(self.running()?.pid)
    }

    /// The identity of the host's network namespace.
    ///
    /// # Errors
    /// [`HostError::Off`].
    pub fn netns(&self) -> Result<NetnsId, HostError> {
        Ok(self.running()?.netns.id())
    }

    /// Runs `work` on a thread inside the host's network namespace. Sockets that it makes belong
    /// to the host for ever, but not to its power: [`Host::power_off`] does not end them. Close
    /// them before the host goes, since they keep its network namespace, and what they have left
    /// to say when they are closed later keeps it for minutes.
    ///
    /// # Errors
    /// [`HostError::Off`], or [`HostError::Namespace`] where the namespace cannot be entered.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, HostError> {
        Ok(self.running()?.netns.enter(work)?)
    }

    /// Sets a sysctl of the host's network namespace, e.g. `net.ipv4.tcp_retries2`.
    ///
    /// # Errors
    /// [`HostError::Sysctl`] where there is no such sysctl, or the value is refused.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), HostError> {
        // The kernel shows the sysctls of the network namespace of the thread that opens the file.
        self.enter(|| fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value))?.map_err(
            |cause| HostError::Sysctl { host: self.name.clone(), sysctl: name.to_owned(), cause },
        )
    }

    /// Starts a program on the host. It sees the machine's files, but the host's processes, network, /run and /tmp.
    ///
    /// # Errors
    /// [`HostError::Spawn`]. A program that does not exist is only noticed by its end, with status 127.
    pub fn spawn(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[&str],
    ) -> Result<Program, HostError> {
        let name = program.as_ref().to_string_lossy().into_owned();
        let failed =
            |cause| HostError::Spawn { host: self.name.clone(), program: name.clone(), cause };
        let entry = Command::new("nsenter")
            .args(["--target", &self.pid()?.to_string(), "--net", "--mount", "--pid", "--"])
            .arg(program.as_ref())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        Program::new(name.clone(), entry).map_err(failed)
    }

    /// The pids of the programs that run on the host, as this process sees them. Its first process,
    /// which the lab put there, is none of them.
    ///
    /// # Errors
    /// [`HostError::Off`].
    pub fn processes(&self) -> Result<Vec<u32>, HostError> {
        Ok(processes_of(self.running()?.pid))
    }

    /// Sends a signal to every program of the host. One that stands still is woken before it is to
    /// end, and those that wait for it outside wake with it.
    ///
    /// # Errors
    /// [`HostError::Off`].
    pub fn signal(&self, what: Signal) -> Result<(), HostError> {
        let first = self.running()?.pid;
        let victims = processes_of(first);
        if what == Signal::STOP {
            freeze(&victims);
            return Ok(());
        }
        let entries = entries_of(&victims, first);
        signal(&victims, what);
        signal(&entries, Signal::CONT);
        if what != Signal::KILL {
            signal(&victims, Signal::CONT);
        }
        Ok(())
    }

    /// As [`Host::spawn`], as the user who started the lab: without root that is the user's own
    /// number and no more privilege than the user has.
    ///
    /// # Errors
    /// As [`Host::spawn`].
    pub fn spawn_as_user(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[&str],
    ) -> Result<Program, HostError> {
        let Some(owner) = Owner::of_this_lab() else { return self.spawn(program, arguments) };
        let [unshare, words @ ..] = owner.words();
        let program = program.as_ref().to_string_lossy().into_owned();
        let words: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .chain([program.as_str()])
            .chain(arguments.iter().copied())
            .collect();
        self.spawn(unshare, &words)
    }

    /// Cuts the power: connections end without a segment, processes without a last word, and
    /// interfaces vanish with the namespace. Returns how many connections were silenced.
    ///
    /// Frames that are on their way already are the cable's business: unplug it first.
    ///
    /// # Errors
    /// [`HostError::Off`], or what kept the host's connections from being silenced; the power is off all the same.
    pub fn power_off(&mut self) -> Result<usize, HostError> {
        let mut running = self.running.take().ok_or_else(|| self.off())?;
        let victims = processes_of(running.pid);
        let entries = entries_of(&victims, running.pid);
        // Nobody opens another connection between the silence and the end.
        freeze(&victims);
        // All of them, also after one that could not be reached.
        let silenced: Vec<_> = victims.iter().map(|pid| silence::process(*pid)).collect();
        forget_orphans(running.pid);
        end(&mut running.maker, &entries);
        Ok(silenced.into_iter().sum::<Result<_, _>>()?)
    }

    fn running(&self) -> Result<&Running, HostError> {
        self.running.as_ref().ok_or_else(|| self.off())
    }

    fn off(&self) -> HostError {
        HostError::Off { host: self.name.clone() }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The namespaces end in any case; a failure means no more than a segment sent into nowhere.
        let _ = self.power_off();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = self.running.as_ref().map(|running| running.pid);
        f.debug_struct("Host").field("name", &self.name).field("pid", &pid).finish()
    }
}

/// The first process: says its pid as the machine sees it (from the machine's /proc, before it
/// mounts the host's own) and then lives until its standard input ends. It is a `cat`, not a
/// `sleep` that is told of its parent's death, since the kernel reports the death of the *thread*
/// that forked (PR_SET_PDEATHSIG), and hosts may outlive the thread that made them. Without `-n`
/// mount(8) would make /run/mount, which is the machine's until another /run covers it. /tmp is made
/// whole elsewhere: PATH may lead through what is kept below it.
const FIRST_PROCESS: &str = "read -r pid rest < /proc/self/stat && mount -n -t proc proc /proc \
     && mount -n -t tmpfs tmpfs /run \
     && mkdir /run/tmp && mount -t tmpfs tmpfs /run/tmp \
     && if [ \"$1\" ]; then mkdir \"/run$1\" && mount --bind \"$1\" \"/run$1\"; fi \
     && mount --move /run/tmp /tmp && rmdir /run/tmp \
     && echo \"$pid\" && exec cat > /dev/null";

/// The directory right below /tmp that `program` lives in, if it does: it stays visible on every
/// host, or a build below /tmp could not run itself there.
fn kept_below_tmp(program: &Path) -> Option<PathBuf> {
    let first = program.strip_prefix("/tmp").ok()?.components().next()?;
    let directory = Path::new("/tmp").join(first);
    (directory != program).then_some(directory)
}

/// A network namespace shares the table of connections of the whole machine, unless the namespace that it
/// is made in says otherwise (Linux 6.1): a quarter of a million buckets, all of which are walked each time
/// the connections of a host are read. So a host is made inside a namespace that says so. Where that cannot
/// be said, reading takes longer, and nothing else changes. Read: tcp_child_ehash_entries in ip-sysctl.
const SMALL_TABLE: &str =
    "{ echo 1024 > /proc/sys/net/ipv4/tcp_child_ehash_entries; } 2>/dev/null; exec \"$@\"";

/// What `unshare` or the first process wrote before it gave up.
fn refusal(maker: &mut Child) -> io::Error {
    let mut said = String::new();
    drop(maker.stdin.take());
    if let Some(mut stderr) = maker.stderr.take() {
        // Without its words there is still the fact.
        let _ = io::Read::read_to_string(&mut stderr, &mut said);
    }
    io::Error::other(if said.trim().is_empty() {
        "unshare(1) ended without a word".to_owned()
    } else {
        said.trim().replace('\n', "; ")
    })
}

/// Ends the first process, and with it all others of its pid namespace, and waits for that.
fn end(maker: &mut Child, entries: &[u32]) {
    drop(maker.stdin.take());
    let ended = wait::until(END_WITHIN, || {
        // The namespace ends when its processes have been waited for, and `nsenter` stops itself
        // when the program that it waits for is stopped.
        signal(entries, Signal::CONT);
        maker.try_wait().transpose()
    });
    if ended.is_none() {
        // `unshare --kill-child` takes the first process with it.
        let _ = maker.kill();
        let _ = maker.wait();
    }
}

/// Far longer than the kernel takes to end a pid namespace.
const END_WITHIN: Duration = Duration::from_secs(2);

/// The other processes in the pid namespace of `first`, as we see them.
fn processes_of(first: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let (Some(own), Ok(entries)) = (namespace(first), fs::read_dir("/proc")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != first && namespace(*pid).as_ref() == Some(&own))
        .collect()
}

/// The processes outside that wait for `victims`: the `nsenter` by which each came in.
fn entries_of(victims: &[u32], first: u32) -> Vec<u32> {
    let parent = |pid: &u32| parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    let is_outside = |pid: &u32| *pid != first && !victims.contains(pid);
    victims.iter().filter_map(parent).filter(is_outside).collect()
}

fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
        // It may be gone, which is as good.
        let _ = kill_process(pid, signal);
    }
}

/// Stops all `victims` and waits until they stand still, as far as they exist.
fn freeze(victims: &[u32]) {
    signal(victims, Signal::STOP);
    let stands = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        matches!(state, None | Some('T' | 't' | 'Z' | 'X'))
    };
    // One that hangs in a system call cannot make a connection either.
    let _ = wait::until(FREEZE_WITHIN, || victims.iter().all(stands).then_some(()));
}

/// Longer than any process takes to leave a system call that can be interrupted.
const FREEZE_WITHIN: Duration = Duration::from_millis(500);

/// Ends connections that no process owns any more: they would go on sending, and keep the network
/// namespace alive for minutes. Without iproute2's `ss` they end by their own timers.
fn forget_orphans(first: u32) {
    let has = |table| {
        let text = fs::read_to_string(format!("/proc/{first}/net/{table}"));
        has_orphans(&text.unwrap_or_default())
    };
    if !has("tcp") && !has("tcp6") {
        return;
    }
    let _ = Command::new("nsenter")
        .args(["--target", &first.to_string(), "--net", "--"])
        .args(["ss", "--kill", "--tcp", "state", "connected"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Whether the text of /proc/PID/net/tcp shows a connection without an inode, that is without a
/// file, which is more than a mini socket (those hold no namespace). Read: linux net/ipv4/tcp_ipv4.c `get_tcp4_sock`.
fn has_orphans(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace();
        let state = fields.nth(3).unwrap_or_default();
        let inode = fields.nth(5).unwrap_or_default();
        inode == "0" && matches!(state, "01" | "02" | "04" | "05" | "08" | "09" | "0B")
    })
}

/// Why a host did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Its namespaces could not be made.
    #[error("boot the host {host}: {cause}; needs CAP_SYS_ADMIN (run as root)")]
    Boot {
        /// The host.
        host: String,
        /// What was answered.
        cause: io::Error,
    },
    /// Its power is off.
    #[error("use the host {host}: its power is off; boot it first")]
    Off {
        /// The host.
        host: String,
    },
    /// A sysctl could not be set.
    #[error("set {sysctl} on the host {host}: {cause}")]
    Sysctl {
        /// The host.
        host: String,
        /// The sysctl's name, with dots.
        sysctl: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// A program could not be started.
    #[error(
        "start {program} on the host {host}: {cause}; nsenter(1) of util-linux is needed for it"
    )]
    Spawn {
        /// The host.
        host: String,
        /// The program.
        program: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// Its network namespace could not be found or entered.
    #[error(transparent)]
    Namespace(#[from] NetnsError),
    /// Its connections could not be silenced.
    #[error(transparent)]
    Silence(#[from] silence::SilenceError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_below_tmp_keeps_its_directory_and_no_other_does() {
        let kept = |program: &str| kept_below_tmp(Path::new(program));
        assert_eq!(kept("/tmp/clone/target/debug/halfopen"), Some("/tmp/clone".into()));
        assert_eq!(kept("/tmp/halfopen"), None);
        assert_eq!(kept("/usr/bin/halfopen"), None);
    }

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[test]
    fn a_connection_without_a_file_is_an_orphan_unless_it_is_in_time_wait() {
        let row = |state, inode| {
            format!(
                "{HEADING}   0: 0100000A:9C40 0700000A:006F {state} 00000000:00000001 01:00000014 00000001 0 0 {inode} 1 0\n"
            )
        };
        assert!(has_orphans(&row("04", 0)));
        assert!(!has_orphans(&row("04", 4711)));
        assert!(!has_orphans(&row("06", 0)));
        assert!(!has_orphans(HEADING));
        assert!(!has_orphans(""));
    }
}
