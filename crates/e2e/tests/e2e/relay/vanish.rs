//! Peers that vanish: the cable is cut, and the other side of the relay has to be told in time, by
//! RST; peers that live and do not read are never cut.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::{Host, Lab, Program, Topology};

use super::{End, PATIENCE, rest};
use crate::{pair::inside, program, requires_lab};

/// The objective of these tests: near the least that can be promised.
const WITHIN: Duration = Duration::from_secs(6);
/// What a busy machine may take to run the threads that measure.
const SLACK: Duration = Duration::from_secs(2);

/// Who sits behind the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    Client,
    Upstream,
}

/// A relay on one host, and one of its sides on another.
struct Stage {
    // In the order in which they are to go: sockets keep the namespace of a host.
    upstream: TcpListener,
    relay: Program,
    lab: Lab,
    far: Far,
}

impl Stage {
    fn new(far: Far) -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let near = match far {
            Far::Client => lab.server().unwrap(),
            Far::Upstream => lab.client().unwrap(),
        };
        let upstream = inside(lab.server().unwrap(), || TcpListener::bind("10.0.0.7:80").unwrap());
        let relay = near
            .spawn(
                program(),
                &["relay", "--listen", ":7000", "--to", "10.0.0.7:80", "--detect-within", "6s"],
            )
            .unwrap();
        relay.line_with("listening on", PATIENCE).expect("the relay listens");
        Self { upstream, relay, lab, far }
    }

    /// Where the relay is.
    fn near(&self) -> (&Host, &'static str) {
        match self.far {
            Far::Client => (self.lab.server().unwrap(), "10.0.0.7:7000"),
            Far::Upstream => (self.lab.client().unwrap(), "10.0.0.1:7000"),
        }
    }

    /// A pair: the end behind the cable, and the near one.
    fn pair(&self) -> (TcpStream, TcpStream) {
        let (_, address) = self.near();
        let client = inside(self.lab.client().unwrap(), || TcpStream::connect(address).unwrap());
        let (upstream, _) = self.upstream.accept().unwrap();
        match self.far {
            Far::Client => (client, upstream),
            Far::Upstream => (upstream, client),
        }
    }
}

/// A pair in some state: the end that is to vanish, the one that is to be told, and how.
struct Case {
    name: &'static str,
    far: TcpStream,
    near: TcpStream,
    /// The near end goes on writing.
    writes: bool,
}

fn cases(stage: &Stage) -> Vec<Case> {
    let case = |name, writes, prepare: &dyn Fn(&mut TcpStream, &mut TcpStream)| {
        let (mut far, mut near) = stage.pair();
        near.write_all(b"hello").unwrap();
        far.read_exact(&mut [0; 5]).unwrap();
        prepare(&mut far, &mut near);
        Case { name, far, near, writes }
    };
    let full = |near: &mut TcpStream| {
        near.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while near.write(&[0; 65_536]).is_ok() {}
    };
    vec![
        case("idle", false, &|_, _| {}),
        case("half-closed by the one that vanishes", false, &|far, near| {
            far.shutdown(Shutdown::Write).unwrap();
            assert_eq!(near.read(&mut [0]).unwrap(), 0);
        }),
        case("half-closed by the other", false, &|far, near| {
            near.shutdown(Shutdown::Write).unwrap();
            assert_eq!(far.read(&mut [0]).unwrap(), 0);
        }),
        case("busy", true, &|_, _| {}),
        case("its window closed", false, &|_, near| full(near)),
        case("its window closed, and the stream ended", false, &|_, near| {
            full(near);
            near.shutdown(Shutdown::Write).unwrap();
        }),
    ]
}

/// When the near end is told, and how. One that was told the end of the other direction before is told
/// when it writes, or by its error, as poll(2) shows it.
fn told(mut case: Case, cut: Instant) -> (&'static str, End, Duration) {
    let end = loop {
        if case.writes && case.near.write(b"x").is_err() {
            break End::Rst;
        }
        if case.near.take_error().unwrap().is_some() {
            break End::Rst;
        }
        let polled = rest(&mut case.near, Duration::from_millis(50));
        match polled.1 {
            End::Open => {}
            // The FIN that was there before the cable was cut.
            End::Fin if case.name.ends_with("that vanishes") => {
                thread::park_timeout(Duration::from_millis(50));
            }
            end => break end,
        }
        if cut.elapsed() > PATIENCE {
            break End::Open;
        }
    };
    (case.name, end, cut.elapsed())
}

/// Goal: whatever the state, the survivor gets RST within the objective. Method: a pair in every
/// state through one relay, and one cut for all of them.
fn all_are_found(far: Far) {
    let mut stage = Stage::new(far);
    let cases = cases(&stage);
    stage.lab.cable(0).unwrap().cut();
    let cut = Instant::now();
    let (watched, kept): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .map(|case| {
            let kept = case.far.try_clone().unwrap();
            (thread::spawn(move || told(case, cut)), kept)
        })
        .unzip();
    let told: Vec<_> = watched.into_iter().map(|thread| thread.join().unwrap()).collect();
    drop(kept);
    for (name, end, after) in &told {
        assert_eq!(*end, End::Rst, "{far:?} {name}: {told:?}");
        assert!(*after <= WITHIN + SLACK, "{far:?} {name}: {told:?}");
        assert!(*after >= WITHIN / 3, "{far:?} {name}: one lost answer is no death: {told:?}");
    }
    eprintln!("{far:?} vanishes: {told:?}");
    let side = if far == Far::Client { "client" } else { "upstream" };
    for _ in &told {
        let line = stage.relay.line_with(" -> ", PATIENCE).expect("the log tells each");
        let found = ["timed-out", "silent"].map(|how| format!("{side} {how}: "));
        assert!(found.iter().any(|found| line.text.contains(found)), "{}", line.text);
    }
    stage.relay.kill().unwrap();
}

#[test]
fn a_client_that_vanishes_is_found_in_time_in_every_state() {
    requires_lab!();
    all_are_found(Far::Client);
}

#[test]
fn an_upstream_that_vanishes_is_found_in_time_in_every_state() {
    requires_lab!();
    all_are_found(Far::Upstream);
}

/// Goal: no client has to wait for an upstream that lost its power while nobody used it. Method: once the
/// relay has had the time of the objective, a client comes, and the reserve has its bytes at once.
#[test]
fn an_upstream_that_vanishes_unused_is_out_of_the_way_before_the_next_client_comes() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let near = lab.client().unwrap();
    let first = inside(lab.server().unwrap(), || TcpListener::bind("10.0.0.7:80").unwrap());
    let reserve = inside(near, || TcpListener::bind("10.0.0.1:81").unwrap());
    let mut relay = near
        .spawn(
            program(),
            &[
                "relay",
                "--listen",
                ":7000",
                "--to",
                "10.0.0.7:80",
                "--to",
                "10.0.0.1:81",
                "--detect-within",
                "6s",
            ],
        )
        .unwrap();
    relay.line_with("listening on", PATIENCE).expect("the relay listens");
    // A check that was let in: it is known to be up.
    drop(first.accept().unwrap());
    lab.cable(0).unwrap().cut();
    let cut = Instant::now();
    relay.line_with("upstream 10.0.0.7:80 is down", PATIENCE).expect("the log tells");
    assert!(cut.elapsed() <= WITHIN + SLACK, "{:?}", cut.elapsed());
    let came = Instant::now();
    let mut client = inside(near, || TcpStream::connect("10.0.0.1:7000").unwrap());
    client.write_all(b"x").unwrap();
    // Checks of the reserve come here too, and say nothing.
    while reserve.accept().unwrap().0.read(&mut [0]).unwrap() == 0 {
        assert!(came.elapsed() < SLACK, "the first was tried again");
    }
    assert!(came.elapsed() < SLACK, "the first was tried again");
    relay.kill().unwrap();
}

/// Goal: nobody who lives is cut. Method: three times the objective without a byte read, and without a
/// byte sent, on both sides; then everything has to be there.
#[test]
fn a_peer_that_lives_and_does_not_read_is_never_cut() {
    requires_lab!();
    let mut stage = Stage::new(Far::Upstream);
    let pauses: Vec<_> = [false, true]
        .map(|swapped| {
            let (far, near) = stage.pair();
            let (mut reading, mut writing) = if swapped { (near, far) } else { (far, near) };
            thread::spawn(move || {
                writing.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
                let mut written = 0;
                while let Ok(bytes) = writing.write(&[1; 65_536]) {
                    written += bytes;
                }
                // Nothing is read, and nothing may come back.
                assert_eq!(rest(&mut writing, WITHIN * 3), (Vec::new(), End::Open));
                writing.shutdown(Shutdown::Write).unwrap();
                let (bytes, end) = rest(&mut reading, PATIENCE);
                assert_eq!((bytes.len(), end), (written, End::Fin));
            })
        })
        .into();
    let (mut far, mut near) = stage.pair();
    assert_eq!(rest(&mut near, WITHIN * 3), (Vec::new(), End::Open), "an idle pair lives too");
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();
    pauses.into_iter().for_each(|pause| pause.join().unwrap());
    drop((far, near));
    stage.relay.kill().unwrap();
}
