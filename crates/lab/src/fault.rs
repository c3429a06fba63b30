//! Owns the catalogue of faults: what can happen to a connection, with the parameters of each.
//! Says what, never how: `timeline` turns a fault into acts. Pure. Read: docs/faults/.

mod catalogue;
mod reading;

use std::{fmt, time::Duration};

pub use catalogue::{CATALOGUE, Entry, Group, Parameter};

use crate::{
    topology::{CLIENT, SERVER},
    wire,
};

/// One of the two hosts whose programs hold the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The host that connects.
    Client,
    /// The host that is connected to.
    Server,
}

impl Side {
    /// Both, client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// The name of its host.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => CLIENT,
            Self::Server => SERVER,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where the path is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the client's plug.
    Client,
    /// Beyond a switch: neither host loses its carrier.
    Middle,
    /// At the server's plug.
    Server,
}

impl Place {
    /// It is the plug of this side.
    pub(crate) const fn is_at(self, side: Side) -> bool {
        matches!((self, side), (Self::Client, Side::Client) | (Self::Server, Side::Server))
    }
}

/// In which direction frames are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// In both.
    Both,
    /// What goes to the client.
    ToClient,
    /// What goes to the server.
    ToServer,
}

/// What a rebooted host does with segments of connections that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostFirewall {
    /// It has none: its kernel answers with RST.
    None,
    /// It lets in what it knows and new SYNs, and drops the rest without a word.
    Stateful,
}

/// Who has an address after its host has got another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OldOwner {
    /// Nobody.
    None,
    /// Another host (here the router), whose kernel answers with RST.
    Other,
}

/// What a router answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Icmp {
    /// ICMP host unreachable (type 3, code 1).
    HostUnreachable,
    /// ICMP communication administratively prohibited (type 3, code 13).
    Prohibited,
}

/// How the kernel defends itself against SYNs that are never followed up (tcp_syncookies).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SynCookies {
    /// 0: not at all.
    Off,
    /// 1: when its queue is full.
    WhenFull,
    /// 2: always.
    Always,
}

/// What happens to a connection.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The cable passes nothing any more.
    Cut {
        /// Where.
        place: Place,
        /// The hosts keep their carrier.
        carrier: bool,
        /// What is dropped.
        direction: Direction,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// Frames are lost, late, doubled, bent, out of order or too many, or too long.
    Link {
        /// On whose cable.
        place: Place,
        /// Which frames.
        direction: Direction,
        /// The faults of the link.
        link: Box<wire::Link>,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The cable is cut and mended again and again.
    Flap {
        /// On whose cable.
        place: Place,
        /// How long it is cut each time.
        down: Duration,
        /// How long it is whole in between.
        up: Duration,
        /// How often.
        times: u32,
    },
    /// There is a middlebox with a memory.
    Middlebox {
        /// What it does.
        middlebox: Box<wire::Middlebox>,
    },
    /// The middlebox on the cable is restarted, or one that knows nothing takes its place.
    MiddleboxForgets {
        /// What it does with what it does not know.
        then: wire::Then,
    },
    /// Somebody else sends an RST.
    ResetInjected {
        /// To whom.
        side: Side,
        /// How well it is aimed.
        aim: wire::Aim,
    },
    /// The SYN by which the connection began comes again, late.
    SynRepeated,
    /// The programs are asked to end (SIGTERM).
    Exit {
        /// Whose.
        side: Side,
    },
    /// The programs are killed (SIGKILL).
    Kill {
        /// Whose.
        side: Side,
        /// With data in the receive buffer that nobody has read.
        unread: bool,
    },
    /// The programs are stopped; their kernel goes on.
    Freeze {
        /// Whose.
        side: Side,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The host hangs: programs and kernel.
    Hang {
        /// Which.
        side: Side,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The host loses its power.
    PowerOff {
        /// Which.
        side: Side,
    },
    /// The host loses its power and comes back, with its programs.
    Reboot {
        /// Which.
        side: Side,
        /// From power off to power on.
        down: Duration,
        /// Its programs are started again.
        restart: bool,
        /// What it does with segments of its former life.
        firewall: HostFirewall,
    },
    /// The host sleeps, and wakes.
    Suspend {
        /// Which.
        side: Side,
        /// How long.
        lasts: Duration,
    },
    /// An administrator kills the connection (`ss --kill`).
    Abort {
        /// On which host.
        side: Side,
    },
    /// The host gets another address.
    Renumber {
        /// Which.
        side: Side,
        /// From the old address to the new one.
        gap: Duration,
        /// Who has the old one then.
        old_owner: OldOwner,
        /// By a DHCP server that forgot the lease, not by `ip`.
        dhcp: bool,
    },
    /// The interface is switched off on the host itself (`ip link set down`).
    InterfaceDown {
        /// On which host.
        side: Side,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The host loses its default route.
    RouteLost {
        /// Which.
        side: Side,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The router refuses what goes to the other side, and says so.
    Refused {
        /// What goes to this side is refused.
        side: Side,
        /// With which words.
        answer: Icmp,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The router's kernel forgets all its flows (`conntrack --flush`), as after a restart.
    Forget,
    /// The server is given SYNs of senders that do not exist, before the client connects.
    SynFlood {
        /// SYNs in a second.
        rate: u32,
        /// The server's defence.
        cookies: SynCookies,
        /// Its queue (tcp_max_syn_backlog and net.core.somaxconn).
        backlog: u32,
    },
    /// The server's programs are stopped before the client connects, so that nobody accepts.
    AcceptStall {
        /// The longest queue that the server's kernel allows (net.core.somaxconn).
        backlog: u32,
    },
    /// SYNs to the server are dropped from before the client connects.
    SynDropped {
        /// How long after the client's start, if it ends.
        lasts: Option<Duration>,
    },
    /// What completes the handshake is dropped: the client believes in it, the server does not.
    ThirdAckLost {
        /// How long after the client's start, if it ends.
        lasts: Option<Duration>,
    },
    /// The programs end, and their FIN is lost, and every repetition of it.
    FinLost {
        /// Whose.
        side: Side,
    },
    /// One direction is closed on a program's behalf (`shutdown(SHUT_WR)`), and the other never.
    HalfClose {
        /// Who closes.
        side: Side,
    },
    /// The programs stop reading until their window is shut.
    ZeroWindow {
        /// Whose.
        side: Side,
        /// How long, if it ends.
        lasts: Option<Duration>,
    },
    /// The connection is killed, and its RST is lost.
    RstLost {
        /// On which host.
        side: Side,
    },
}

impl Fault {
    /// Its name in scenarios and on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "cut",
            Self::Link { .. } => "link",
            Self::Flap { .. } => "flap",
            Self::Middlebox { .. } => "middlebox",
            Self::MiddleboxForgets { .. } => "middlebox-forgets",
            Self::ResetInjected { .. } => "rst-injected",
            Self::SynRepeated => "syn-repeated",
            Self::Exit { .. } => "exit",
            Self::Kill { .. } => "kill",
            Self::Freeze { .. } => "freeze",
            Self::Hang { .. } => "hang",
            Self::PowerOff { .. } => "power-off",
            Self::Reboot { .. } => "reboot",
            Self::Suspend { .. } => "suspend",
            Self::Abort { .. } => "abort",
            Self::Renumber { .. } => "renumber",
            Self::InterfaceDown { .. } => "interface-down",
            Self::RouteLost { .. } => "route-lost",
            Self::Refused { .. } => "icmp",
            Self::Forget => "forget",
            Self::SynFlood { .. } => "syn-flood",
            Self::AcceptStall { .. } => "accept-stall",
            Self::SynDropped { .. } => "syn-dropped",
            Self::ThirdAckLost { .. } => "third-ack-lost",
            Self::FinLost { .. } => "fin-lost",
            Self::HalfClose { .. } => "half-close",
            Self::ZeroWindow { .. } => "zero-window",
            Self::RstLost { .. } => "rst-lost",
        }
    }

    /// What the catalogue says of it.
    pub fn entry(&self) -> Option<&'static Entry> {
        Entry::named(self.name())
    }

    /// It has to be there before the client connects.
    pub const fn is_of_birth(&self) -> bool {
        matches!(
            self,
            Self::SynFlood { .. }
                | Self::AcceptStall { .. }
                | Self::SynDropped { .. }
                | Self::ThirdAckLost { .. }
        )
    }

    /// How long it lasts, if it ends by itself.
    pub const fn lasts(&self) -> Option<Duration> {
        match self {
            Self::Suspend { lasts, .. } => Some(*lasts),
            Self::Reboot { down, .. } => Some(*down),
            Self::Renumber { gap, .. } => Some(*gap),
            Self::Cut { lasts, .. }
            | Self::Link { lasts, .. }
            | Self::Freeze { lasts, .. }
            | Self::Hang { lasts, .. }
            | Self::InterfaceDown { lasts, .. }
            | Self::RouteLost { lasts, .. }
            | Self::Refused { lasts, .. }
            | Self::SynDropped { lasts }
            | Self::ThirdAckLost { lasts }
            | Self::ZeroWindow { lasts, .. } => *lasts,
            _ => None,
        }
    }
}
