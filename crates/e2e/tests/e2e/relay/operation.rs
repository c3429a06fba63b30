//! Signals, files, metrics and inherited sockets of the real program.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    End, PATIENCE, eventually,
    killed::Running,
    rest,
    supervised::{Directory, Supervised},
};
use crate::{program, requires_lab, says};

#[test]
fn sigterm_drains_and_the_exit_is_clean() {
    let mut relay = Running::start(&[]);
    let (mut client, mut upstream) = relay.pair();
    relay.signal(Signal::TERM);
    eventually("nobody is let in", || TcpStream::connect(relay.address).is_err());
    client.write_all(b"still here").unwrap();
    drop(client);
    assert_eq!(rest(&mut upstream, PATIENCE), (b"still here".to_vec(), End::Fin));
    drop(upstream);
    assert_eq!(relay.wait(), Some(0));
}

#[test]
fn the_time_to_drain_ends_what_does_not_end_by_itself() {
    let mut relay = Running::start(&["--drain-within", "1s"]);
    let (mut client, mut upstream) = relay.pair();
    let begun = Instant::now();
    relay.signal(Signal::TERM);
    assert_eq!(rest(&mut client, PATIENCE).1, End::Rst);
    assert_eq!(rest(&mut upstream, PATIENCE).1, End::Rst);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(relay.wait(), Some(0));
}

/// Goal: whoever reads the log cannot keep the relay from stopping. Method: its standard output is a pipe that is
/// full to the last byte, and nobody reads.
#[test]
fn a_log_that_nobody_reads_keeps_no_relay_from_stopping() {
    let mut relay = Running::start_unread(&["--drain-within", "1s"]);
    let (mut client, _upstream) = relay.pair();
    relay.signal(Signal::TERM);
    assert_eq!(rest(&mut client, PATIENCE).1, End::Rst);
    let mut code = None;
    eventually("it ends", || {
        code = relay.ended();
        code.is_some()
    });
    assert_eq!(code, Some(0));
}

#[test]
fn metrics_count_what_was_relayed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let relay = Running::start(&["--metrics", &port]);
    let (mut client, mut upstream) = relay.pair();
    client.write_all(b"twelve bytes").unwrap();
    upstream.read_exact(&mut [0; 12]).unwrap();
    let page = || {
        let mut scraper = TcpStream::connect(&port).unwrap();
        scraper.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut page = String::new();
        scraper.read_to_string(&mut page).unwrap();
        page
    };
    eventually("the page says so", || {
        page().contains("halfopen_relay_relayed_bytes_total{from=\"client\"} 12\n")
    });
    let text = page();
    assert!(text.contains("halfopen_relay_connections 1\n"), "{text}");
    assert!(text.contains("halfopen_relay_upstreams{standing=\"up\"} 1\n"), "{text}");
    drop((client, upstream));
    eventually("the end is counted", || {
        page().contains("halfopen_relay_ended_total{at=\"client\",how=\"finished\"} 1\n")
    });
}

#[test]
fn a_file_is_taken_again_on_sighup_and_a_wrong_one_changes_nothing() {
    let directory = Directory::new();
    let path = directory.0.join("relay.toml");
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let write = |to: &TcpListener, more: &str| {
        let to = to.local_addr().unwrap();
        let text = format!("[[listen]]\non = \"127.0.0.1:0\"\nto = [\"{to}\"]\n{more}");
        std::fs::write(&path, text).unwrap();
    };
    write(&first, "");
    let mut relay = Supervised(
        Command::new(program())
            .args(["relay", "--config"])
            .arg(&path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = std::io::BufReader::new(relay.0.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(lines).map(|line| line.unwrap());
    let told = lines.next().unwrap();
    let address = told.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap();
    let address = told
        .split_once("listening on ")
        .and_then(|(_, rest)| rest.split_once(','))
        .map_or(address, |(address, _)| address)
        .to_owned();
    let reaches = |listener: &TcpListener| {
        let client = TcpStream::connect(&address).unwrap();
        let (mut upstream, _) = listener.accept().unwrap();
        drop(client);
        assert_eq!(rest(&mut upstream, PATIENCE).1, End::Fin);
    };
    reaches(&first);
    write(&second, "detect-withn = \"9s\"\n");
    relay.signal(Signal::HUP);
    let refused = lines.find(|line| line.contains("not reloaded")).unwrap();
    assert!(refused.contains("relay.toml:4: unknown field `detect-withn`"), "{refused}");
    reaches(&first);
    write(&second, "");
    relay.signal(Signal::HUP);
    lines.find(|line| line.ends_with("reloaded")).unwrap();
    lines.find(|line| line.contains("listening on")).unwrap();
    eventually("clients reach the new one", || {
        let _client = TcpStream::connect(&address).unwrap();
        second.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_millis(500);
        let mut accepted = false;
        while !accepted && Instant::now() < deadline {
            accepted = second.accept().is_ok();
        }
        accepted
    });
}

#[test]
fn what_cannot_be_is_refused_before_anything_listens() {
    let (text, code) = says(&["relay", "--listen", "here", "--to", "10.0.0.7:1"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("`here` is no address to listen on; write"), "{text}");
    let tight = ["relay", "--listen", ":1", "--to", "10.0.0.7:1", "--detect-within", "2s"];
    let (text, code) = says(&tight);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("a peer cannot be found gone within 2s"), "{text}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (text, code) = says(&["relay", "--listen", &address, "--to", "10.0.0.7:1"]);
    assert_eq!(code, 71, "{text}");
    assert!(text.contains("cannot listen on") && text.contains("in use"), "{text}");
}

/// Goal: a listening socket that somebody else has opened is used, and stays open for the next relay.
/// Method: as a supervisor does it, by descriptor 3 and the variables of sd_listen_fds(3).
#[test]
fn an_inherited_socket_is_listened_on_and_outlives_the_relay() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$@\"";
    let start = || {
        Command::new("bash")
            .args(["-c", script, "supervisor"])
            .arg(program())
            .args(["relay", "--listen", "systemd:web", "--to"])
            .arg(upstream.local_addr().unwrap().to_string())
            .stdin(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    for round in 0..2 {
        let mut relay = start();
        // Before the relay is there, clients wait in the backlog.
        let client = TcpStream::connect(address).unwrap();
        let (mut accepted, _) = upstream.accept().unwrap();
        drop(client);
        assert_eq!(rest(&mut accepted, PATIENCE).1, End::Fin, "round {round}");
        drop(accepted);
        relay.kill().unwrap();
        relay.wait().unwrap();
    }
    let refused = says(&["relay", "--listen", "systemd:web", "--to", "127.0.0.1:1"]);
    assert!(refused.0.contains("no listening socket named `web`"), "{}", refused.0);
}

/// Accepted sockets inherit the listener's options; those towards upstreams get theirs after a moment.
#[test]
fn the_kernel_asks_for_vanished_peers_on_both_legs() {
    requires_lab!("ss" from "iproute2");
    let relay = Running::start(&[]);
    let _pair = relay.pair();
    let has_timer = |filter: String| {
        let output =
            Command::new("ss").args(["-Htno", "state", "established"]).arg(filter).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text.contains("timer:(keepalive,")
    };
    assert!(has_timer(format!("sport = :{}", relay.address.port())));
    let upstream = relay.upstream.local_addr().unwrap().port();
    eventually("the upstream's leg has it too", || has_timer(format!("dport = :{upstream}")));
}

/// Goal: clients that the kernel does not hand over cost the others nothing. Method: fewer descriptors are
/// allowed than are open, so that giving one up makes no room; then they are allowed again.
#[test]
fn where_nobody_can_be_accepted_the_relay_waits_and_does_not_spin() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let relay = Running::start(&["--workers", "1"]);
    let pid = Pid::from_raw(relay.pid().cast_signed());
    let limit = |current| Rlimit { current, maximum: Some(4096) };
    prlimit(pid, Resource::Nofile, limit(Some(3))).unwrap();
    let _client = TcpStream::connect(relay.address).unwrap();
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", relay.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().unwrap());
        ticks.sum::<u32>()
    };
    let (before, begun) = (used(), Instant::now());
    while begun.elapsed() < Duration::from_secs(1) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let ticks = used() - before;
    assert!(ticks <= 10, "{ticks} hundredths of a second of a processor");
    prlimit(pid, Resource::Nofile, limit(Some(1024))).unwrap();
    relay.upstream.set_nonblocking(true).unwrap();
    eventually("the client is let in", || relay.upstream.accept().is_ok());
}

#[test]
fn without_descriptors_a_client_is_reset_at_once_and_the_others_live() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let relay = Running::start(&["--workers", "1"]);
    let (mut client, mut upstream) = relay.pair();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", relay.pid())).unwrap().count();
    let open = u64::try_from(descriptors()).unwrap();
    let pid = Pid::from_raw(relay.pid().cast_signed());
    let limit = Rlimit { current: Some(open), maximum: Some(open) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    for _ in 0..3 {
        let mut turned_away = TcpStream::connect(relay.address).unwrap();
        assert_eq!(rest(&mut turned_away, PATIENCE), (Vec::new(), End::Rst));
    }
    client.write_all(b"still here").unwrap();
    drop(client);
    assert_eq!(rest(&mut upstream, PATIENCE), (b"still here".to_vec(), End::Fin));
    drop(upstream);
    eventually("there is room again", || {
        let Ok(_client) = TcpStream::connect(relay.address) else { return false };
        relay.upstream.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_millis(300);
        let mut accepted = false;
        while !accepted && Instant::now() < deadline {
            accepted = relay.upstream.accept().is_ok();
        }
        accepted
    });
}
