//! The relay as systemd runs it: the units of docs/relay/operation.md, and a supervisor played by the test.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{End, PATIENCE, rest};
use crate::{program, requires_lab};

/// The units as a person would copy them, with the program of these tests.
fn units() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/relay/operation.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```ini\n# /etc/systemd/system/").skip(1);
    let units = blocks.map(|block| {
        let (name, rest) = block.split_once('\n').unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        (name.to_owned(), text.replace("/usr/bin/halfopen", &program().display().to_string()))
    });
    units.collect()
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    requires_lab!("systemd-analyze" from "systemd");
    let directory = Directory::new();
    let units = units();
    assert_eq!(units.len(), 2);
    let paths = units.iter().map(|(name, text)| {
        let path = directory.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(paths).output();
    let verify = verify.unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    // What other units of this host lack is not ours.
    let ours = said.lines().filter(|line| line.contains("relay.")).collect::<Vec<_>>();
    assert!(verify.status.success() && ours.is_empty(), "{said}");
}

/// A directory of one test, gone with it.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("halfopen-supervised-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A relay, ended with its test.
pub(super) struct Supervised(pub(super) Child);

impl Supervised {
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Goal: what a supervisor is told is what happens, in order, and the watchdog hears of a relay that lives.
/// Method: its socket, its descriptor 3 and its variables, as sd_notify(3) and sd_listen_fds(3) have them.
#[test]
fn a_supervisor_hears_ready_reloading_watchdog_and_stopping() {
    let directory = Directory::new();
    let path = directory.0.join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\"";
    let mut relay = Supervised(
        Command::new("bash")
            .args(["-c", script, "supervisor"])
            .arg(program())
            .args(["relay", "--listen", "systemd:web", "--to"])
            .arg(upstream.local_addr().unwrap().to_string())
            .envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "web"), ("WATCHDOG_USEC", "400000")])
            .env("NOTIFY_SOCKET", &path)
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let hear = |wanted: &str| {
        let began = Instant::now();
        let mut beats = 0;
        loop {
            let mut message = [0; 256];
            let length = supervisor.recv(&mut message).unwrap();
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.starts_with(wanted) {
                return (text, beats);
            }
            assert_eq!(text, "WATCHDOG=1", "while {wanted} is waited for");
            beats += 1;
            assert!(began.elapsed() < PATIENCE, "{wanted} does not come");
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    relay.signal(Signal::HUP);
    let (text, _) = hear("RELOADING=1");
    let (_, microseconds) = text.split_once("\nMONOTONIC_USEC=").unwrap();
    assert!(microseconds.parse::<u64>().unwrap() > 0);
    hear("READY=1");
    let mut client = TcpStream::connect(address).unwrap();
    let (mut accepted, _) = upstream.accept().unwrap();
    relay.signal(Signal::TERM);
    hear("STOPPING=1");
    hear("WATCHDOG=1");
    client.write_all(b"to the end").unwrap();
    drop(client);
    assert_eq!(rest(&mut accepted, PATIENCE), (b"to the end".to_vec(), End::Fin));
    drop(accepted);
    assert!(relay.0.wait().unwrap().success());
}
