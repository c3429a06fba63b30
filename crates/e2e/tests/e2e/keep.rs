//! `keep` on real connections: shown first, then set, then the cable is cut and the owner learns.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use halfopen_core::keeping::KeepOptions;
use halfopen_lab::{Lab, Topology, wait};
use halfopen_sys::options;
use serde_json::Value;

use crate::{halfopen, requires_lab};

/// Two hosts, a connection between them, and files for what `keep` writes down.
struct Kept {
    lab: Lab,
    client: TcpStream,
    server: TcpStream,
    files: Files,
}

/// The audit and the record of one test, gone with it.
pub(crate) struct Files {
    audit: PathBuf,
    record: PathBuf,
}

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let file = |kind: &str| {
            std::env::temp_dir().join(format!("halfopen-{test}-{}.{kind}", std::process::id()))
        };
        Self { audit: file("audit"), record: file("record") }
    }

    /// The flags that name them.
    pub(crate) fn named(&self) -> [&str; 4] {
        ["--audit", self.audit.to_str().unwrap(), "--record", self.record.to_str().unwrap()]
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["keep"];
        all.extend(self.named());
        all.extend(arguments);
        // Whoever names a namespace here means all that is in it.
        if arguments.contains(&"--netns") {
            all.push("--all");
        }
        halfopen(&all)
    }

    /// `keep` with these arguments: what it wrote, and its exit code.
    pub(crate) fn keep(&self, arguments: &[&str]) -> (String, i32) {
        let Output { status, stdout, stderr } = self.run(arguments);
        let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (text, status.code().unwrap())
    }

    /// The document of `keep` with these arguments.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let Output { stdout, stderr, .. } = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.audit, &self.record] {
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Kept {
    fn connected(test: &str) -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let listener =
            lab.server().unwrap().enter(|| TcpListener::bind("10.0.0.7:80").unwrap()).unwrap();
        let client =
            lab.client().unwrap().enter(|| TcpStream::connect("10.0.0.7:80").unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        Self { lab, client, server, files: Files::new(test) }
    }

    fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    fn options(&self) -> KeepOptions {
        KeepOptions::of(&options::read(self.client.as_fd()).unwrap()).unwrap()
    }

    fn cut(&self) -> Instant {
        self.lab.cable(0).unwrap().cut();
        Instant::now()
    }

    /// How long after `cut` the client's reader was told, and what.
    fn told(&mut self, cut: Instant) -> (ErrorKind, Duration) {
        self.client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        loop {
            let error = self.client.read(&mut [0]).unwrap_err();
            // A read with a time-out is not taken up again after a signal, as of a child's end.
            if error.kind() != ErrorKind::Interrupted {
                return (error.kind(), cut.elapsed());
            }
        }
    }
}

#[test]
fn without_apply_the_plan_is_shown_and_nothing_is_changed() {
    requires_lab!();
    let kept = Kept::connected("plan");
    let (netns, before) = (kept.netns(), kept.options());
    let (text, code) = kept.files.keep(&["--netns", &netns, "--detect-within", "60s"]);
    assert_eq!(code, 0, "{text}");
    for said in
        ["idle never", "SO_KEEPALIVE off -> on", "probes an hour", "an outage of", "--apply"]
    {
        assert!(text.contains(said), "no {said:?} in:\n{text}");
    }
    let document = kept.files.json(&["--netns", &netns, "--detect-within", "60s"]);
    assert_eq!(document["schema"], "halfopen.keep/1");
    assert_eq!(document["applied"], false);
    let one = &document["connections"][0];
    assert_eq!(one["before"]["learns"]["idle"]["never"], true);
    assert!(one["after"]["learns"]["idle"]["max_ms"].as_u64().unwrap() <= 60_000, "{one:#}");
    assert_eq!(kept.options(), before);
    assert!(!kept.files.record.exists());
}

#[test]
fn nobody_is_kept_whom_no_flag_chooses() {
    let files = Files::new("chosen");
    let (text, code) = files.keep(&["--detect-within", "60s"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--all"), "{text}");
    let (text, code) = files.keep(&["--peer", "192.0.2.1", "--detect-within", "60s"]);
    assert_eq!(code, 4, "{text}");
}

#[test]
fn what_was_set_is_put_back_exactly_and_only_once() {
    requires_lab!();
    let kept = Kept::connected("undo");
    let (netns, before) = (kept.netns(), kept.options());
    let apply = ["--netns", &netns, "--detect-within", "60s", "--user-timeout", "--apply"];
    let (text, code) = kept.files.keep(&apply);
    assert_eq!(code, 0, "{text}");
    let after = kept.options();
    assert!(after.keepalive && after.user_timeout_ms > 0, "{after:?}");
    // A second run finds the objective met.
    let (text, _) = kept.files.keep(&apply);
    assert!(text.contains("met already"), "{text}");
    let audit = std::fs::read_to_string(&kept.files.audit).unwrap();
    assert!(
        audit.contains("\"verb\":\"keep\"") && audit.contains("\"result\":\"done\""),
        "{audit}"
    );

    let (text, code) = kept.files.keep(&["--netns", &netns, "--undo"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 connection: the old options are back"), "{text}");
    assert_eq!(kept.options(), before);
    let (text, code) = kept.files.keep(&["--netns", &netns, "--undo"]);
    assert_eq!((text.trim(), code), ("nothing to put back", 0));
    assert_eq!(kept.options(), before);
}

#[test]
fn undo_leaves_alone_what_the_application_has_set_since() {
    requires_lab!();
    let kept = Kept::connected("since");
    let netns = kept.netns();
    kept.files.keep(&["--netns", &netns, "--detect-within", "60s", "--apply"]);
    rustix::net::sockopt::set_tcp_keepcnt(&kept.client, 7).unwrap();
    let (text, code) = kept.files.keep(&["--netns", &netns, "--undo"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("somebody else"), "{text}");
    assert_eq!(kept.options().probes, 7);
    assert!(kept.options().keepalive);
}

/// Goal: the promise holds. Method: keep, cut, and measure when the reader is told.
#[test]
fn the_owner_learns_within_the_objective() {
    requires_lab!();
    let mut kept = Kept::connected("learns");
    let netns = kept.netns();
    let document = kept.files.json(&["--netns", &netns, "--detect-within", "8s", "--apply"]);
    assert_eq!(document["connections"][0]["outcome"], "set", "{document:#}");
    let cut = kept.cut();
    let (told, after) = kept.told(cut);
    assert_eq!(told, ErrorKind::TimedOut);
    assert!(after <= Duration::from_secs(8), "{after:?}");
}

#[test]
fn the_owner_of_a_half_closed_connection_learns_too() {
    requires_lab!();
    let mut kept = Kept::connected("half-closed");
    let netns = kept.netns();
    kept.client.shutdown(Shutdown::Write).unwrap();
    let state = || {
        let document = kept.files.json(&["--netns", &netns, "--detect-within", "8s"]);
        document["connections"][0]["state"].as_str().map(str::to_owned)
    };
    let half_closed = || (state().as_deref() == Some("FIN-WAIT-2")).then_some(());
    wait::until(Duration::from_secs(10), half_closed).unwrap();
    let (text, code) = kept.files.keep(&["--netns", &netns, "--detect-within", "8s", "--apply"]);
    assert_eq!(code, 0, "{text}");
    let cut = kept.cut();
    let (told, after) = kept.told(cut);
    assert_eq!(told, ErrorKind::TimedOut);
    assert!(after <= Duration::from_secs(8), "{after:?}");
}

#[test]
fn a_user_timeout_bounds_the_busy_case_too() {
    requires_lab!();
    let mut kept = Kept::connected("busy");
    let netns = kept.netns();
    let arguments = ["--netns", &netns, "--detect-within", "8s", "--user-timeout", "--apply"];
    let document = kept.files.json(&arguments);
    let promised =
        document["connections"][0]["after"]["learns"]["busy"]["max_ms"].as_u64().unwrap();
    let cut = kept.cut();
    kept.client.write_all(b"into the void").unwrap();
    let (told, after) = kept.told(cut);
    assert_eq!(told, ErrorKind::TimedOut);
    assert!(after <= Duration::from_millis(promised), "{after:?}, promised {promised} ms");
    assert!(after <= Duration::from_secs(10), "{after:?}");
}

/// Goal: the alarm puts everything back. Method: while `keep` watches, more connections of the same
/// host die by a timer than chance would have it.
#[test]
fn when_timers_end_connections_meanwhile_everything_is_put_back() {
    requires_lab!();
    let kept = Kept::connected("alarm");
    let (netns, before) = (kept.netns(), kept.options());
    let server = kept.lab.server().unwrap();
    let listener = server.enter(|| TcpListener::bind("10.0.0.7:81").unwrap()).unwrap();
    let doomed = kept.lab.client().unwrap().enter(|| {
        let doomed = |_| TcpStream::connect("10.0.0.7:81").unwrap();
        (0..20).map(doomed).collect::<Vec<_>>()
    });
    let doomed = doomed.unwrap();
    let arguments = [
        &["--netns", &netns, "--peer", "10.0.0.7:80", "--detect-within", "60s"][..],
        &["--apply", "--watch-for", "30s"],
    ]
    .concat();
    let document = std::thread::scope(|scope| {
        let keeping = scope.spawn(|| kept.files.json(&arguments));
        let set = || kept.options().keepalive.then_some(());
        wait::until(Duration::from_secs(20), set).unwrap();
        kept.cut();
        for mut one in &doomed {
            rustix::net::sockopt::set_tcp_user_timeout(one, 500).unwrap();
            one.write_all(b"into the void").unwrap();
        }
        keeping.join().unwrap()
    });
    assert_eq!(document["watched"]["rolled_back"], true, "{document:#}");
    assert_eq!(document["watched"]["not_put_back"], 0, "{document:#}");
    assert_eq!(kept.options(), before);
    drop(listener);
}

/// The session of docs/tasks/connections-die-after-quiet.md. Run with HALFOPEN_WRITE_EXAMPLES=1 to
/// write it anew.
#[test]
fn the_page_about_connections_that_die_after_quiet_shows_what_happens() {
    requires_lab!();
    let kept = Kept::connected("page");
    let netns = kept.netns();
    let mut session = String::new();
    for shown in [
        &["--peer", "10.0.0.7:80", "--detect-within", "10m", "--survive-idle", "350s"][..],
        &["--peer", "10.0.0.7:80", "--detect-within", "10m", "--survive-idle", "350s", "--apply"],
        &["--peer", "10.0.0.7:80", "--detect-within", "10m", "--survive-idle", "350s"],
        &["--undo"],
    ] {
        let (text, code) = kept.files.keep(&[&["--netns", &netns], shown].concat());
        assert_eq!(code, 0, "{text}");
        session += &format!("$ halfopen keep {}\n{}\n", shown.join(" "), without_unseen(&text));
    }
    let local = kept.client.local_addr().unwrap().to_string();
    let owner =
        session.split_whitespace().find(|word| word.starts_with("e2e-")).unwrap().to_owned();
    let session = session.replace(&local, "10.0.0.1:53124").replace(&owner, "psql/2211");
    let session = session.trim_end().to_owned() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/keep.txt");
    if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
        std::fs::write(path, &session).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), session);
}

/// The text without what could not be seen on this machine, which is about others.
fn without_unseen(text: &str) -> String {
    let mut is_unseen = false;
    let lines = text.split_inclusive('\n').filter(|line| {
        is_unseen = line.starts_with("not seen: ") || (is_unseen && line.starts_with(' '));
        !is_unseen
    });
    lines.collect()
}

/// A listener and its embryonic and un-accepted children belong to nobody's objective.
#[test]
fn a_listener_is_never_kept() {
    requires_lab!();
    let kept = Kept::connected("listener");
    let host = kept.lab.server().unwrap();
    let netns = host.pid().unwrap().to_string();
    let listener = host.enter(|| TcpListener::bind("10.0.0.7:81").unwrap()).unwrap();
    let document = kept.files.json(&["--netns", &netns, "--detect-within", "60s", "--apply"]);
    let connections = document["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 1, "{document:#}");
    let options = options::read(listener.as_fd()).unwrap();
    assert_eq!(options.keepalive, Some(false));
    assert!(kept.server.as_raw_fd() > 0);
}
