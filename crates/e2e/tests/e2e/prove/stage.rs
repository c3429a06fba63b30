//! Two hosts, a peer that holds what it accepts, and connections to it whose near ends belong to this
//! test.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use halfopen_lab::{Lab, Program, SERVER, Topology, wait};
use serde_json::Value;
use socket2::Socket;

use super::peer::{self, HOLDS, SOON};
use crate::json;

/// A connection of which one end is here.
pub(super) struct Actor {
    pub(super) local: SocketAddr,
    pub(super) socket: Socket,
}

pub(super) struct Stage {
    // In the order in which they are to go.
    pub(super) actors: Vec<Actor>,
    _peer: Program,
    pub(super) lab: Lab,
}

impl Stage {
    /// Two hosts and a peer that listens.
    pub(super) fn empty() -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let peer = peer::start(lab.server().unwrap());
        Self { actors: Vec::new(), _peer: peer, lab }
    }

    pub(super) fn netns(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    /// Connects to the peer, and says where the connection stands in the list.
    pub(super) fn connect(&mut self) -> usize {
        let to = SocketAddr::new(self.lab.topology().address(SERVER).unwrap(), HOLDS);
        let connect = || TcpStream::connect_timeout(&to, SOON).unwrap();
        let stream = self.lab.client().unwrap().enter(connect).unwrap();
        let local = stream.local_addr().unwrap();
        self.actors.push(Actor { local, socket: stream.into() });
        self.actors.len() - 1
    }

    /// Until no peer was heard for more than a second.
    pub(super) fn wait_until_idle(&self) {
        let idle = Duration::from_millis(1_100).as_millis();
        let look = || json(&["ls", "--netns", &self.netns(), "--json"]);
        let found = wait::until(SOON, || {
            let document = look();
            let mut all = document["connections"].as_array().unwrap().iter();
            let is_idle = |one: &Value| {
                let heard = one["last_heard_ms"].as_u64().map(u128::from);
                heard.is_none_or(|heard| heard > idle)
            };
            all.all(is_idle).then_some(())
        });
        assert!(found.is_some(), "{:#}", look());
    }
}

/// What a probe may touch, of every connection.
pub(super) fn options(stage: &Stage) -> Vec<(bool, bool, Duration, u32)> {
    let read = |socket: &Socket| {
        (
            socket.reuse_address().unwrap(),
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        )
    };
    stage.actors.iter().map(|actor| &actor.socket).map(read).collect()
}
