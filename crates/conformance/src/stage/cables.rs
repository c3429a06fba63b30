//! Owns the stage's lab: a client, a relay and a server on hosts of their own, with a cable between
//! each two. Knows no cases. Read: `halfopen_lab::Topology`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use halfopen_lab::{
    CLIENT, Cable, CablePlan, End, EndPlan, HostPlan, IpFamily, Lab, Program, SERVER, Topology,
    wire::{Aim, Direction, Link, Middlebox, Reset, Then},
};

use super::StageError;
use crate::{case::Side, outcome::Miss};

/// Where the relay listens, in the lab. Fixed, so that configuration files can name it.
const ENTRANCE_PORT: u16 = 4000;

/// Where the server listens, in the lab.
pub(super) const UPSTREAM_PORT: u16 = 7000;

const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const RELAY_NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 254);
const RELAY_FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 254);
const SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 7);
const RELAY: &str = "relay";

/// The lab.
#[derive(Debug)]
pub(crate) struct Cables {
    // In the order in which they are to go.
    relay: Option<Program>,
    command: Option<String>,
    lab: Lab,
}

impl Cables {
    /// Builds the lab. Without a command for the relay, its host is a router.
    pub(super) fn lay(command: Option<&str>) -> Result<Self, StageError> {
        let lab = Lab::build(topology(command.is_none()))?;
        Ok(Self { relay: None, command: command.map(str::to_owned), lab })
    }

    /// Starts the relay, if there is one.
    pub(super) fn start_relay(&mut self) -> Result<(), StageError> {
        let Some(command) = &self.command else { return Ok(()) };
        let command = command
            .replace("{listen}", &relay_address().to_string())
            .replace("{to}", &server_address().to_string());
        self.relay = Some(self.lab.host(RELAY)?.spawn("sh", &["-c", &format!("exec {command}")])?);
        Ok(())
    }

    /// What the relay said first, to be added to a sentence.
    pub(super) fn said_by_relay(&self) -> String {
        let lines = || self.relay.as_ref().and_then(|relay| relay.line(Duration::ZERO));
        let said: Vec<_> = std::iter::from_fn(lines).take(3).map(|line| line.text).collect();
        if said.is_empty() { String::new() } else { format!(" It said: {}", said.join(" / ")) }
    }

    /// The relay's process.
    pub(super) fn relay_pid(&self) -> Option<u32> {
        self.relay.as_ref().and_then(Program::pid)
    }

    /// Kills the relay and all processes that it has started, at once (SIGKILL).
    pub(crate) fn kill_relay(&self) -> Result<(), Miss> {
        let pid = self.relay_pid();
        let pid = pid.ok_or_else(|| Miss::NotRun("the relay has ended already".to_owned()))?;
        crate::descriptors::kill_relay(pid);
        Ok(())
    }

    /// Cuts the cable between this side and the relay: silence, both ways, while carriers stay.
    pub(crate) fn cut(&self, side: Side) -> Result<(), Miss> {
        self.cable(side)?.cut();
        Ok(())
    }

    /// Mends the cable between this side and the relay.
    pub(crate) fn mend(&self, side: Side) -> Result<(), Miss> {
        self.cable(side)?.mend();
        Ok(())
    }

    /// Puts the faults of a link in force between this side and the relay.
    pub(crate) fn set_link(
        &self,
        side: Side,
        direction: Direction,
        link: Link,
    ) -> Result<(), Miss> {
        self.cable(side)?.set_link(direction, link);
        Ok(())
    }

    /// Puts a middlebox between this side and the relay that has just forgotten every connection.
    pub(crate) fn forget(&self, side: Side, then: Then) -> Result<(), Miss> {
        let (_, inside) = plug(side);
        let cable = self.cable(side)?;
        cable.set_middlebox(Some(Middlebox { then, inside, ..Middlebox::default() }));
        cable.forget_now();
        Ok(())
    }

    /// Takes the middlebox away.
    pub(crate) fn without_middlebox(&self, side: Side) -> Result<(), Miss> {
        self.cable(side)?.set_middlebox(None);
        Ok(())
    }

    /// Sends RST on every connection between this side and the relay, as if from the other end.
    pub(crate) fn inject_reset(
        &self,
        side: Side,
        to_relay: bool,
        to_host: bool,
    ) -> Result<(), Miss> {
        let (_, host) = plug(side);
        let cable = self.cable(side)?;
        for (_, to) in [(to_relay, host.other()), (to_host, host)].into_iter().filter(|(is, _)| *is)
        {
            cable.inject(Reset { to, aim: Aim::Valid, port: None });
        }
        Ok(())
    }

    /// Cuts the cable of this side's host and makes its kernel forget all its connections, so that none of
    /// them says a word: as if it had lost its power. [`Cables::mend`] brings it back.
    pub(crate) fn lose_power(&self, side: Side) -> Result<(), Miss> {
        self.cut(side)?;
        let host = match side {
            Side::Client => self.lab.client(),
            Side::Server => self.lab.server(),
        };
        let host = host.map_err(StageError::from)?;
        let forgetting = host.spawn("ss", &["-HKt", "state", "connected"]);
        let mut forgetting = forgetting.map_err(StageError::from)?;
        match forgetting.ended(FORGETS_WITHIN)? {
            Some(status) if status.success() => Ok(()),
            _ => Err(Miss::NotRun("ss -K (package iproute2) could not end connections".to_owned())),
        }
    }

    /// Takes the carrier from this side's host, or gives it back.
    pub(crate) fn carrier(&self, side: Side, is_on: bool) -> Result<(), Miss> {
        let (cable, end) = plug(side);
        let done =
            if is_on { self.lab.carrier_on(cable, end) } else { self.lab.carrier_off(cable, end) };
        Ok(done.map_err(StageError::from)?)
    }

    fn cable(&self, side: Side) -> Result<&Cable, StageError> {
        Ok(self.lab.cable(plug(side).0)?)
    }

    /// Does something on the client's host.
    pub(super) fn on_client<R: Send>(
        &self,
        work: impl FnOnce() -> R + Send,
    ) -> Result<R, StageError> {
        Ok(self.lab.client()?.enter(work)?)
    }

    /// Does something on the server's host.
    pub(super) fn on_server<R: Send>(
        &self,
        work: impl FnOnce() -> R + Send,
    ) -> Result<R, StageError> {
        Ok(self.lab.server()?.enter(work)?)
    }
}

/// The cable of this side's host, and the end of it at which the host is: in the topology below the client
/// is on the left of its cable, the server on the right.
const fn plug(side: Side) -> (usize, End) {
    match side {
        Side::Client => (0, End::Left),
        Side::Server => (1, End::Right),
    }
}

/// A program that asks the kernel once, on a busy machine.
const FORGETS_WITHIN: Duration = Duration::from_secs(10);

/// Where clients find the relay, in the lab.
pub(super) fn relay_address() -> SocketAddr {
    (RELAY_NEAR, ENTRANCE_PORT).into()
}

/// Where the relay finds the server, in the lab.
pub(super) fn server_address() -> SocketAddr {
    (SERVER_ADDRESS, UPSTREAM_PORT).into()
}

/// Client, relay and server in a row. Neighbours are known for ever, so that only TCP decides when a
/// vanished peer is given up: beyond a real network's first router it is the same.
fn topology(relay_is_router: bool) -> Topology {
    let host = |name: &str, router| HostPlan {
        name: name.to_owned(),
        is_router: false,
        default_route: router,
    };
    let end = |host: &str, address| EndPlan { host: host.to_owned(), address, prefix: 24 };
    let ends = [
        [end(CLIENT, CLIENT_ADDRESS), end(RELAY, RELAY_NEAR)],
        [end(RELAY, RELAY_FAR), end(SERVER, SERVER_ADDRESS)],
    ];
    Topology {
        hosts: vec![
            host(CLIENT, Some(RELAY_NEAR)),
            HostPlan { is_router: relay_is_router, ..host(RELAY, None) },
            host(SERVER, Some(RELAY_FAR)),
        ],
        cables: ends.map(|ends| CablePlan { ends, without_arp: true }).into(),
        family: IpFamily::V4,
    }
}
