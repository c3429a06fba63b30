//! One connection of each kind between two hosts, over IPv4 and IPv6; the near ends belong to this
//! test, and a program on the server's host has the far ends.

use std::{
    cell::RefCell,
    io::Write as _,
    net::{IpAddr, Shutdown, SocketAddr, UdpSocket},
    time::Duration,
};

use halfopen_core::{KernelTimer, Sample, TcpState};
use halfopen_lab::{CLIENT, HostError, Lab, Program, ROUTER, SERVER, wait};
use halfopen_sys::SocketDiag;
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use super::{
    condition::{Condition, masquerade, nft},
    kind::Kind,
};
use crate::{
    pair::inside,
    prove::peer::{self, CLOSES, FULL, HOLDS},
};

/// Far longer than anything here takes; what takes longer has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The router's interface on the server's side.
pub(super) const OUTSIDE: &str = "eth1";

/// Our listeners: one that never accepts, and one whose clients' last acknowledgement is lost.
const NEVER_ACCEPTS: u16 = 2001;
pub(super) const NEVER_FINISHES: u16 = 2002;

/// Over which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn of(self, address: SocketAddr) -> bool {
        address.ip().to_canonical().is_ipv4() == (self == Self::V4)
    }
}

/// A connection of which one end is here.
pub(super) struct Actor {
    pub(super) kind: Kind,
    pub(super) family: Family,
    pub(super) local: SocketAddr,
    /// The address that it was connected to: two connections to different ports may have one port of
    /// ours. `None` where the peer has connected, to a port that only this connection has.
    pub(super) to: Option<SocketAddr>,
    /// `None` where no process holds it.
    pub(super) socket: Option<Socket>,
}

pub(super) struct Stage {
    // In the order in which they are to go: sockets keep the namespace of a host.
    pub(super) actors: Vec<Actor>,
    listeners: Vec<Socket>,
    near: RefCell<SocketDiag>,
    pub(super) peer: Option<Program>,
    pub(super) lab: Lab,
    pub(super) condition: Condition,
}

impl Stage {
    /// All kinds, over both families, none heard for a second.
    pub(super) fn set(condition: Condition) -> Self {
        let lab = Lab::build(condition.topology()).unwrap();
        for host in lab.topology().hosts.clone() {
            lab.give_ipv6(&host.name).unwrap();
        }
        let near = RefCell::new(inside(lab.client().unwrap(), || SocketDiag::open().unwrap()));
        let peer = Some(peer::start(lab.server().unwrap()));
        let mut stage =
            Self { actors: Vec::new(), listeners: Vec::new(), near, peer, lab, condition };
        stage.prepare();
        for family in Family::BOTH {
            stage.add_those_of_ours(family);
            stage.add_those_of_theirs(family);
            stage.fill_and_close(family);
            stage.connect(Kind::DataOutstanding, family, HOLDS);
        }
        // Whoever was just heard is not probed.
        stage.wait_for("idle connections", |kind, sample| {
            kind.waits_for_window()
                || sample.and_then(Sample::last_heard).is_none_or(|ago| ago.as_millis() > 1_100)
        });
        stage
    }

    fn prepare(&self) {
        let client = self.lab.client().unwrap();
        for (name, value) in [
            // So long that an orphan in FIN-WAIT-2 stays a whole socket for a minute.
            ("tcp_fin_timeout", "120"),
            // Small buffers, so that a window is shut by a few writes and stays shut.
            ("tcp_wmem", "4096 16384 16384"),
            // The kernel's own probes and retransmissions do not end before the test does.
            ("tcp_retries2", "200"),
            ("tcp_syn_retries", "100"),
            ("tcp_synack_retries", "100"),
        ] {
            client.set_sysctl(&format!("net.ipv4.{name}"), value).unwrap();
        }
        // And they come every second. Older kernels back off, which only takes longer.
        match client.set_sysctl("net.ipv4.tcp_rto_max_ms", "1000") {
            Err(HostError::Sysctl { cause, .. })
                if cause.kind() == std::io::ErrorKind::NotFound => {}
            set => set.unwrap(),
        }
        let server = self.lab.server().unwrap();
        server.set_sysctl("net.ipv4.tcp_rmem", "4096 4096 4096").unwrap();
        if self.condition.is_behind_nat() {
            masquerade(self);
        }
        nft(
            client,
            &format!(
                "table inet loss {{
                   chain in {{ type filter hook input priority 0
                     tcp dport {NEVER_FINISHES} tcp flags & (syn|ack|rst) == ack drop
                   }}
                 }}"
            ),
        );
    }

    fn add_those_of_ours(&mut self, family: Family) {
        self.connect(Kind::Established, family, HOLDS);
        let peer_closed = self.connect(Kind::CloseWait, family, CLOSES);
        self.reaches(peer_closed, TcpState::CloseWait);
        let we_closed = self.connect(Kind::FinWait2, family, HOLDS);
        self.socket(we_closed).shutdown(Shutdown::Write).unwrap();
        self.reaches(we_closed, TcpState::FinWait2);
        let orphan = self.connect(Kind::Orphan, family, HOLDS);
        self.actors[orphan].socket = None;
        self.reaches(orphan, TcpState::FinWait2);
        // The first takes the one place in the queue, and the next finds none.
        let [v4, v6] = FULL;
        let full = if family == Family::V4 { v4 } else { v6 };
        let filler = self.connect(Kind::SynSent, family, full);
        self.reaches(filler, TcpState::Established);
        self.listeners.extend(self.actors.remove(filler).socket);
        self.connect(Kind::SynSent, family, full);
    }

    /// The peer connects to us.
    fn add_those_of_theirs(&mut self, family: Family) {
        for (kind, port) in [(Kind::Unaccepted, NEVER_ACCEPTS), (Kind::SynReceived, NEVER_FINISHES)]
        {
            let here = SocketAddr::new(address(&self.lab, CLIENT, family), port);
            let listener = inside(self.lab.client().unwrap(), || {
                let socket = Socket::new(Domain::for_address(here), Type::STREAM, None).unwrap();
                socket.bind(&here.into()).unwrap();
                socket.listen(8).unwrap();
                socket
            });
            self.listeners.push(listener);
            let seen_from_there = if self.condition.is_behind_nat() { ROUTER } else { CLIENT };
            let there = address(&self.lab, seen_from_there, family);
            peer::connect(self.peer.as_mut().unwrap(), SocketAddr::new(there, port));
            self.actors.push(Actor { kind, family, local: here, to: None, socket: None });
        }
    }

    /// What waits behind a shut window, and what is closed behind it.
    fn fill_and_close(&mut self, family: Family) {
        self.connect_and_fill(Kind::ZeroWindow, family, HOLDS);
        let closing = self.connect_and_fill(Kind::Closing, family, HOLDS);
        self.socket(closing).shutdown(Shutdown::Write).unwrap();
        let mut seen_as = self.actors[closing].local;
        if self.condition.is_behind_nat() {
            // The router keeps the port, as nobody else has it.
            seen_as.set_ip(outside(&self.lab, family));
        }
        peer::end(self.peer.as_mut().unwrap(), seen_as, HOLDS);
        self.reaches(closing, TcpState::Closing);
        let last = self.connect_and_fill(Kind::LastAck, family, CLOSES);
        self.socket(last).shutdown(Shutdown::Write).unwrap();
        self.reaches(last, TcpState::LastAck);
    }

    /// Writes until the window is shut to the last byte.
    fn connect_and_fill(&mut self, kind: Kind, family: Family, port: u16) -> usize {
        let at = self.connect(kind, family, port);
        let mut socket = self.socket(at);
        socket.set_nonblocking(true).unwrap();
        let shut = look_until(PATIENCE, || {
            // What was sent meanwhile has made room for more, until the window is shut.
            while socket.write(&[0; 4_096]).is_ok() {}
            let sample = self.sample(at)?;
            let window = sample.info.as_ref().and_then(|info| info.send_window);
            let probes = matches!(sample.timer, KernelTimer::WindowProbe { .. });
            (probes && sample.in_flight() == Some(false) && window == Some(0)).then_some(())
        });
        let said = || self.peer.as_ref().and_then(|peer| peer.line(Duration::ZERO));
        assert!(shut.is_some(), "the peer says {:?}: {:#?}", said(), self.sample(at));
        at
    }

    /// Connects to the peer, and says where the connection stands in the list.
    fn connect(&mut self, kind: Kind, family: Family, port: u16) -> usize {
        let to = SocketAddr::new(address(&self.lab, SERVER, family), port);
        let socket = inside(self.lab.client().unwrap(), || {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
            if kind == Kind::SynSent {
                socket.set_nonblocking(true).unwrap();
                // It is in progress, and where there is no room it stays so.
                let _ = socket.connect(&to.into());
            } else {
                socket.connect_timeout(&to.into(), PATIENCE).unwrap();
            }
            socket
        });
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        self.actors.push(Actor { kind, family, local, to: Some(to), socket: Some(socket) });
        self.actors.len() - 1
    }

    pub(super) fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    fn socket(&self, at: usize) -> &Socket {
        self.actors[at].socket.as_ref().unwrap()
    }

    fn sample(&self, at: usize) -> Option<Sample> {
        let samples = self.near_samples();
        self.actors[at].in_table(&samples).cloned()
    }

    fn reaches(&self, at: usize, state: TcpState) {
        let reached = look_until(PATIENCE, || {
            self.sample(at).is_some_and(|sample| sample.state == state).then_some(())
        });
        assert!(reached.is_some(), "never {state}: {:#?}", self.sample(at));
    }

    /// Until `is_so` of every connection, whose sample is `None` where the kernel has it no more.
    pub(super) fn wait_for(&self, what: &str, is_so: impl Fn(Kind, Option<&Sample>) -> bool) {
        let waits = || {
            let samples = self.near_samples();
            let late = self.actors.iter().find(|one| !is_so(one.kind, one.in_table(&samples)))?;
            Some(format!("{:?} {:?}: {:#?}", late.kind, late.family, late.in_table(&samples)))
        };
        let done = look_until(PATIENCE, || waits().is_none().then_some(()));
        assert!(done.is_some(), "{:?}: no {what}: {}", self.condition, waits().unwrap_or_default());
    }

    /// The table of the near host's kernel.
    pub(super) fn near_samples(&self) -> Vec<Sample> {
        self.near.borrow_mut().dump().unwrap().samples
    }

    /// The table of the peer's kernel.
    pub(super) fn far_samples(&self) -> Vec<Sample> {
        let dump = || SocketDiag::open().unwrap().dump().unwrap().samples;
        inside(self.lab.server().unwrap(), dump)
    }

    /// Until all that was sent before has reached the peer's kernel, if it reaches it at all.
    pub(super) fn settle(&self) {
        if self.condition == Condition::Silent {
            return;
        }
        let there = SocketAddr::new(address(&self.lab, SERVER, Family::V4), 0);
        let ear = inside(self.lab.server().unwrap(), || UdpSocket::bind(there).unwrap());
        let there = ear.local_addr().unwrap();
        ear.set_read_timeout(Some(PATIENCE)).unwrap();
        let send = || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"mark", there).unwrap();
        inside(self.lab.client().unwrap(), send);
        ear.recv(&mut [0; 8]).unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A stopped program would have to be waited for.
        if self.condition == Condition::Frozen {
            signal(self.peer.as_ref(), Signal::CONT);
        }
    }
}

/// Sends `signal` to the program, if it runs.
pub(super) fn signal(program: Option<&Program>, signal: Signal) {
    let pid = program.and_then(Program::pid).and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

impl Actor {
    /// Its sample in the table of the near host.
    pub(super) fn in_table<'a>(&self, samples: &'a [Sample]) -> Option<&'a Sample> {
        samples.iter().find(|sample| {
            sample.endpoints.local == self.local
                && sample.state != TcpState::Listen
                && self.to.is_none_or(|to| to == sample.endpoints.peer)
        })
    }

    /// The other end, in the table of the peer's kernel.
    pub(super) fn in_far_table<'a>(&self, samples: &'a [Sample]) -> Option<&'a Sample> {
        samples.iter().find(|sample| {
            let (local, peer) = (sample.endpoints.local, sample.endpoints.peer);
            peer.port() == self.local.port()
                && self.family.of(peer)
                && self.to.is_none_or(|to| to.port() == local.port())
        })
    }
}

pub(super) fn address(lab: &Lab, host: &str, family: Family) -> IpAddr {
    if host == ROUTER {
        return outside(lab, family);
    }
    let (_, _, end) = lab.topology().ends_of(host).next().unwrap();
    if family == Family::V4 { end.address.into() } else { end.address6().into() }
}

/// Asks now and then: a look at a table costs, and many stages stand at once.
pub(super) fn look_until<T>(within: Duration, ready: impl FnMut() -> Option<T>) -> Option<T> {
    wait::until_every(Duration::from_millis(25), within, ready)
}

/// The router's address on the server's side.
fn outside(lab: &Lab, family: Family) -> IpAddr {
    let (_, _, end) = lab.topology().ends_of(ROUTER).last().unwrap();
    if family == Family::V4 { end.address.into() } else { end.address6().into() }
}
