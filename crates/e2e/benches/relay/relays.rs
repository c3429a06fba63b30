//! Owns who takes part: how each relay is configured and started. One thread each, so that what is
//! compared is how they relay and not on how many processors.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use halfopen_lab::{requirements, wait};

/// A relay that can be started.
pub(crate) struct Relay {
    /// As the tables say it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None: the kernel's loopback alone.
    Direct,
    /// Ours.
    Halfopen,
    /// HAProxy, which moves bytes by splice(2) or not.
    Haproxy { splices: bool },
    /// nginx, module stream.
    Nginx,
    /// tokio's `copy_bidirectional` with buffers of so many bytes.
    Tokio { buffer: usize },
    /// realm's core.
    Realm,
}

/// What ratios are counted against.
pub(crate) const RIVAL: Kind = Kind::Haproxy { splices: true };

const ALL: [(&str, Kind); 8] = [
    ("no relay", Kind::Direct),
    ("halfopen relay", Kind::Halfopen),
    ("HAProxy, forced splice", RIVAL),
    ("HAProxy, default", Kind::Haproxy { splices: false }),
    ("nginx stream", Kind::Nginx),
    ("tokio copy_bidirectional, 8 KiB", Kind::Tokio { buffer: 8 << 10 }),
    ("tokio copy_bidirectional, 64 KiB", Kind::Tokio { buffer: 64 << 10 }),
    ("realm", Kind::Realm),
];

/// The relays that this machine has, and a sentence on standard error for each that it has not.
pub(crate) fn found(only: &str) -> anyhow::Result<Vec<Relay>> {
    build()?;
    let own = env::current_exe().context("find the path of this program")?;
    let release = own.parent().and_then(Path::parent).context("find the directory of programs")?;
    let target = release.parent().context("find the directory of programs")?;
    let built = |path: PathBuf, how: &str| {
        ensure!(path.exists(), "{} is not built: {how}", path.display());
        Ok(path)
    };
    let mut relays = Vec::new();
    for (name, kind) in ALL {
        if !(name.contains(only) || kind == Kind::Direct || kind == RIVAL) {
            continue;
        }
        let program = match kind {
            Kind::Direct => Ok(PathBuf::new()),
            Kind::Halfopen => built(release.join("halfopen"), "cargo build --release"),
            Kind::Haproxy { .. } => Ok(requirements::find("haproxy", "haproxy")?),
            Kind::Nginx => requirements::find("nginx", "libnginx-mod-stream").map_err(Into::into),
            Kind::Tokio { .. } => built(release.join("examples/copy_bidirectional"), "cargo build"),
            Kind::Realm => built(
                target.join("realm/release/realm"),
                "cargo build --release --manifest-path docs/conformance/realm/Cargo.toml \
                 --target-dir target/realm",
            ),
        };
        match program {
            Ok(program) => relays.push(Relay { name, kind, program }),
            Err(missing) => eprintln!("relay: left out: {name}: {missing:#}"),
        }
    }
    Ok(relays)
}

/// This project's programs, built as they are shipped.
fn build() -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for what in [
        &["--package", "halfopen-cli"][..],
        &["--package", "halfopen-conformance", "--example", "copy_bidirectional"][..],
    ] {
        let status = Command::new(&cargo)
            .current_dir(&root)
            .args(["build", "--quiet", "--release"])
            .args(what)
            .status()
            .context("run cargo")?;
        ensure!(status.success(), "the programs do not build: {status}");
    }
    Ok(())
}

/// A relay that runs, until this is dropped.
pub(crate) struct Running {
    child: Option<Child>,
    entrance: SocketAddr,
    directory: PathBuf,
}

/// Where relays listen.
const PORT: u16 = 4000;

impl Running {
    /// Starts a relay to this upstream and waits until it listens.
    pub(crate) fn start(relay: &Relay, to: SocketAddr, pinned: bool) -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("relay-bench");
        fs::create_dir_all(&directory).context("make a directory for configurations")?;
        let mut running = Self { child: None, entrance: to, directory };
        let entrance = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let words = running.words(relay, entrance, to)?;
        if words.is_empty() {
            return Ok(running);
        }
        running.entrance = entrance;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if pinned {
            command.args(["taskset", "--cpu-list", "0"]);
        }
        let child = command
            .arg(&relay.program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("run setpriv (package util-linux)")?;
        running.child = Some(child);
        wait::until(READY_WITHIN, || TcpStream::connect(entrance).ok())
            .with_context(|| format!("wait for {} to listen", relay.name))?;
        running.settle();
        Ok(running)
    }

    /// Where clients connect to.
    pub(crate) const fn entrance(&self) -> SocketAddr {
        self.entrance
    }

    /// The relay's first process, if there is a relay.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Lets what the start cost pass, so that it is not counted: processors' time stands still.
    fn settle(&self) {
        let Some(pid) = self.pid() else { return };
        let deadline = Instant::now() + READY_WITHIN;
        let mut before = None;
        while Instant::now() < deadline {
            let now = Some(crate::process::cpu(pid));
            if now == before {
                return;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The arguments of the relay's program, with its configuration written; none without a relay.
    fn words(
        &self,
        relay: &Relay,
        entrance: SocketAddr,
        to: SocketAddr,
    ) -> anyhow::Result<Vec<String>> {
        let configured = |name: &str, text: String, before: &[&str]| {
            let path = self.directory.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            let mut words: Vec<_> = before.iter().map(|&word| word.to_owned()).collect();
            words.push(path.display().to_string());
            anyhow::Ok(words)
        };
        let (listen, to) = (entrance.to_string(), to.to_string());
        Ok(match relay.kind {
            Kind::Direct => Vec::new(),
            Kind::Halfopen => ["relay", "--workers", "1", "--listen", &listen, "--to", &to]
                .map(str::to_owned)
                .into(),
            Kind::Haproxy { splices } => {
                let options =
                    if splices { "option splice-request\noption splice-response" } else { "" };
                // Pipes take descriptors: with as many connections HAProxy does not start.
                let most = if splices { "maxconn 9500\nmaxpipes 300" } else { "maxconn 9500" };
                let text = format!(
                    "global\n{most}\nnbthread 1\ndefaults\nmode tcp\ntimeout connect 5s\n\
                     timeout client 1h\ntimeout server 1h\n{options}\n\
                     listen relay\nmaxconn 9500\nbind {listen} backlog 4096\nserver upstream {to}\n"
                );
                configured("haproxy.cfg", text, &["-db", "-f"])?
            }
            Kind::Nginx => {
                let pid = self.directory.join("nginx.pid");
                let text = format!(
                    "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nuser root;\n\
                     worker_processes 1;\nworker_rlimit_nofile 20000;\npid {};\nerror_log /dev/null;\n\
                     events {{ worker_connections 19500; }}\nstream {{ server {{ listen {listen} \
                     backlog=4096; proxy_pass {to}; proxy_half_close on; proxy_timeout 1h; }} }}\n",
                    pid.display()
                );
                configured("nginx.conf", text, &["-c"])?
            }
            Kind::Tokio { buffer } => vec![listen, to, buffer.to_string()],
            Kind::Realm => vec![listen, to],
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // nginx has a worker, which ends with its master only if that is asked to end.
        let pid = rustix::process::Pid::from_child(child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        if wait::until(Duration::from_secs(1), || child.try_wait().ok().flatten()).is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Far longer than any of them takes to start on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);
