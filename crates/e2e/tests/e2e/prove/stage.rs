//! One connection of each kind between two hosts, over IPv4 and IPv6; the near ends belong to this test.

use std::{
    io::Write as _,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use halfopen_lab::{CLIENT, Lab, Program, SERVER, Topology, wait};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::peer::{self, CLOSES, FULL, HOLDS, SOON};
use crate::json;

/// A connection of which one end is here.
pub(super) struct Actor {
    pub(super) kind: &'static str,
    pub(super) family: &'static str,
    pub(super) local: SocketAddr,
    /// `None` where no process holds it.
    pub(super) socket: Option<Socket>,
}

pub(super) struct Stage {
    // In the order in which they are to go.
    pub(super) actors: Vec<Actor>,
    _listeners: Vec<TcpListener>,
    pub(super) program: Option<Program>,
    pub(super) lab: Lab,
}

impl Stage {
    /// All kinds, over both families, none heard for a second.
    pub(super) fn of_all_kinds() -> Self {
        let mut stage = Self::empty();
        // So long that an orphan in FIN-WAIT-2 stays a whole socket for a minute.
        let client = stage.lab.client().unwrap();
        client.set_sysctl("net.ipv4.tcp_fin_timeout", "120").unwrap();
        // Small buffers, so that a window is shut by a few writes and stays shut.
        client.set_sysctl("net.ipv4.tcp_wmem", "4096 16384 16384").unwrap();
        let server = stage.lab.server().unwrap();
        server.set_sysctl("net.ipv4.tcp_rmem", "4096 4096 4096").unwrap();
        for family in ["ipv4", "ipv6"] {
            stage.add("established", family, HOLDS);
            let peer_closed = stage.add("close-wait", family, CLOSES);
            stage.wait_for(peer_closed, "CLOSE-WAIT");
            let we_closed = stage.add("fin-wait-2", family, HOLDS);
            stage.socket(we_closed).shutdown(Shutdown::Write).unwrap();
            stage.wait_for(we_closed, "FIN-WAIT-2");
            let orphan = stage.add("orphan", family, HOLDS);
            stage.actors[orphan].socket = None;
            stage.wait_for(orphan, "FIN-WAIT-2");
            stage.add_not_accepted(family);
            // Both families have the one listener, and the one place in its queue.
            if family == "ipv4" {
                stage.add("not accepted there", family, FULL);
            }
            stage.add_embryonic(family);
            let shut = stage.add("zero window", family, HOLDS);
            let mut socket = stage.socket(shut);
            socket.set_nonblocking(true).unwrap();
            let full = wait::until(SOON, || {
                while socket.write(&[0; 4_096]).is_ok() {}
                // What was sent meanwhile has made room for more, until the window is shut.
                stage.is_blocked(shut).then_some(())
            });
            assert!(full.is_some(), "{:#}", stage.ls());
            stage.add("data outstanding", family, HOLDS);
        }
        stage.wait_until_idle();
        stage
    }

    /// Two hosts and a peer that listens.
    pub(super) fn empty() -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        lab.give_ipv6(CLIENT).unwrap();
        lab.give_ipv6(SERVER).unwrap();
        let program = peer::start(lab.server().unwrap());
        Self { actors: Vec::new(), _listeners: Vec::new(), program: Some(program), lab }
    }

    pub(super) fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    pub(super) fn socket(&self, at: usize) -> &Socket {
        self.actors[at].socket.as_ref().unwrap()
    }

    /// Connects to the peer, and says where the connection stands in the list.
    pub(super) fn add(&mut self, kind: &'static str, family: &'static str, port: u16) -> usize {
        let to = SocketAddr::new(address(&self.lab, SERVER, family), port);
        let connect = || TcpStream::connect_timeout(&to, SOON).unwrap();
        let stream = self.lab.client().unwrap().enter(connect).unwrap();
        let local = stream.local_addr().unwrap();
        let socket = Some(stream.into());
        self.actors.push(Actor { kind, family, local, socket });
        self.actors.len() - 1
    }

    /// The peer connects to us, and nobody accepts.
    fn add_not_accepted(&mut self, family: &'static str) {
        let here = SocketAddr::new(address(&self.lab, CLIENT, family), 0);
        let listener =
            self.lab.client().unwrap().enter(|| TcpListener::bind(here)).unwrap().unwrap();
        let local = listener.local_addr().unwrap();
        peer::connect(self.program.as_mut().unwrap(), local);
        self.actors.push(Actor { kind: "un-accepted", family, local, socket: None });
        self._listeners.push(listener);
    }

    /// To a listener that has no room.
    fn add_embryonic(&mut self, family: &'static str) {
        let to = SocketAddr::new(address(&self.lab, SERVER, family), FULL);
        let socket = self
            .lab
            .client()
            .unwrap()
            .enter(|| Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap())
            .unwrap();
        socket.set_nonblocking(true).unwrap();
        // It is in progress, and stays so.
        let _ = socket.connect(&to.into());
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        self.actors.push(Actor { kind: "embryonic", family, local, socket: Some(socket) });
    }

    /// `ls` on the client's host.
    pub(super) fn ls(&self) -> Value {
        json(&["ls", "--netns", &self.netns(), "--json"])
    }

    fn is_blocked(&self, at: usize) -> bool {
        let local = self.actors[at].local.to_string();
        let document = self.ls();
        let mut all = document["connections"].as_array().unwrap().iter();
        all.any(|one| one["local"] == *local && one["verdict"] == "blocked")
    }

    /// Until connections of this kind are not there any more.
    pub(super) fn wait_until_gone(&self, kind: &str) {
        let gone = wait::until(SOON, || {
            let document = self.ls();
            let all = document["connections"].as_array().unwrap();
            let is_there = |local: String| all.iter().any(|one| one["local"] == *local);
            let mut actors = self.actors.iter().filter(|actor| actor.kind == kind);
            actors.all(|actor| !is_there(actor.local.to_string())).then_some(())
        });
        assert!(gone.is_some(), "{kind}: {:#}", self.ls());
    }

    fn wait_for(&self, at: usize, state: &str) {
        let local = self.actors[at].local.to_string();
        let found = wait::until(SOON, || {
            let document = self.ls();
            let all = document["connections"].as_array().unwrap();
            all.iter().any(|one| one["local"] == *local && one["state"] == state).then_some(())
        });
        assert!(found.is_some(), "{local} does not come to {state}");
    }

    /// Until no peer was heard for more than a second, of those that are open and idle.
    pub(super) fn wait_until_idle(&self) {
        let idle = Duration::from_millis(1_100).as_millis();
        let found = wait::until(SOON, || {
            let document = self.ls();
            let mut all = document["connections"].as_array().unwrap().iter();
            let is_idle = |one: &Value| {
                let probing = one["verdict"] == "blocked" || one["verdict"] == "straining";
                let heard = one["last_heard_ms"].as_u64().map(u128::from);
                probing || heard.is_none_or(|heard| heard > idle)
            };
            all.all(is_idle).then_some(())
        });
        assert!(found.is_some(), "{:#}", self.ls());
    }
}

pub(super) fn address(lab: &Lab, host: &str, family: &str) -> IpAddr {
    let (_, _, end) = lab.topology().ends_of(host).next().unwrap();
    if family == "ipv4" { end.address.into() } else { end.address6().into() }
}
