//! Owns where cases are played: how a client comes to the relay, and how the server's end is found.
//! Judges nothing. The lab's part, with cables to cut, is `stage/cables.rs`.

mod cables;

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use halfopen_lab::{HostError, LabError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use self::cables::Cables;
use crate::{
    case::{Needs, Side},
    descriptors,
    end::End,
    outcome::Miss,
    soak::Holdings,
};

/// Where the relay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It runs already, and passes what comes to this address on to our `upstream_port`.
    Running {
        /// Where it listens.
        relay: SocketAddr,
        /// The port of this host that it connects to.
        upstream_port: u16,
        /// Its process, if it may be looked at.
        pid: Option<u32>,
    },
    /// It is started in a lab, once for each stage, by this shell command. `{listen}` and `{to}` in it
    /// are replaced by addresses with ports.
    Lab {
        /// The command, for `sh -c`.
        command: String,
    },
    /// There is none: the client's end connects to the server's, on this host or in a lab.
    Direct {
        /// In a lab, so that cables can be cut.
        in_lab: bool,
    },
}

impl Place {
    /// Why a case with these needs cannot be played here, if it cannot.
    pub fn lacks(&self, needs: Needs) -> Option<&'static str> {
        let no_relay = "needs a relay between the ends";
        match (needs, self) {
            (Needs::Ends, _)
            | (Needs::Relay, Self::Running { .. } | Self::Lab { .. })
            | (Needs::Cables | Needs::Victim, Self::Lab { .. })
            | (Needs::Cables, Self::Direct { in_lab: true })
            | (Needs::Process, Self::Lab { .. } | Self::Running { pid: Some(_), .. }) => None,
            (Needs::Process, Self::Running { pid: None, .. }) => {
                Some("needs the relay's process (--pid)")
            }
            (Needs::Relay | Needs::Process | Needs::Victim, Self::Direct { .. }) => Some(no_relay),
            (Needs::Cables, Self::Running { .. } | Self::Direct { in_lab: false }) => {
                Some("needs the lab (--lab --relay CMD), whose cables can be cut")
            }
            (Needs::Victim, Self::Running { .. }) => {
                Some("needs the lab (--lab --relay CMD): it kills the relay")
            }
        }
    }
}

/// How long cases wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long nothing happens in the cases that need patience.
    pub slow: Duration,
    /// A peer that vanished has to be told of within this time.
    pub notice: Duration,
    /// What has to happen at once has to happen within this time.
    pub soon: Duration,
    /// How many connections are a crowd.
    pub crowd: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Longer than the 50 s and 60 s that proxies are commonly configured with.
            slow: Duration::from_secs(70),
            // What an operator calls a minute.
            notice: Duration::from_secs(60),
            // No relay needs so long; a busy machine may.
            soon: Duration::from_secs(5),
            // Two descriptors each, in this process: well below the limit of 4,096 of many shells.
            crowd: 1_000,
        }
    }
}

/// Where cases are played.
#[derive(Debug)]
pub struct Stage {
    // In the order in which they are to go: our sockets before the hosts that they are on.
    upstream: Mutex<Option<TcpListener>>,
    cables: Option<Cables>,
    entrance: SocketAddr,
    upstream_port: u16,
    place: Place,
    /// How long cases wait.
    pub limits: Limits,
}

impl Stage {
    /// Sets a stage; in a lab, with a relay started and ready.
    ///
    /// # Errors
    /// [`StageError`] with what was refused.
    pub fn set(place: &Place, limits: Limits) -> Result<Self, StageError> {
        let (cables, entrance, upstream_port) = match place {
            Place::Running { relay, upstream_port, .. } => (None, *relay, *upstream_port),
            Place::Direct { in_lab: false } => (None, (Ipv4Addr::LOCALHOST, 0).into(), 0),
            Place::Direct { in_lab: true } => {
                (Some(Cables::lay(None)?), cables::server_address(), cables::UPSTREAM_PORT)
            }
            Place::Lab { command } => {
                (Some(Cables::lay(Some(command))?), cables::relay_address(), cables::UPSTREAM_PORT)
            }
        };
        let place = place.clone();
        let upstream = Mutex::new(None);
        let mut stage = Self { upstream, cables, entrance, upstream_port, place, limits };
        let listener = stage.listen()?;
        if stage.entrance.port() == 0 {
            stage.entrance =
                listener.local_addr().map_err(|cause| StageError::Listen { port: 0, cause })?;
            stage.upstream_port = stage.entrance.port();
        }
        *stage.upstream() = Some(listener);
        if let Some(cables) = &mut stage.cables {
            cables.start_relay()?;
        }
        stage.try_relay()?;
        Ok(stage)
    }

    /// A relay that was just started listens after a moment; one that does not is no failure of a case.
    fn try_relay(&self) -> Result<(), StageError> {
        let is_running = matches!(self.place, Place::Running { .. });
        let within = if is_running { REACHED_WITHIN } else { READY_WITHIN };
        let deadline = Instant::now() + within;
        loop {
            let cause = match self.pair(Side::Client) {
                Ok(_) => return Ok(()),
                Err(miss) => miss.to_string(),
            };
            if Instant::now() >= deadline {
                let said = self.cables.as_ref().map(Cables::said_by_relay).unwrap_or_default();
                return Err(StageError::NoRelay { entrance: self.entrance, cause, said });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A connection through the relay: the acting end, and the other.
    pub(crate) fn pair(&self, acting: Side) -> Result<(End, End), Miss> {
        // One after the other, so that what is accepted belongs to what was connected.
        let upstream = self.upstream();
        let Some(listener) = &*upstream else {
            return Err(Miss::NotRun("nothing listens at the server's end".to_owned()));
        };
        while accept(listener, Duration::ZERO)?.is_some() {}
        let client = self.connect()?;
        let Some(server) = accept(listener, self.limits.soon)? else {
            let said = "the relay took the client's connection and made none to the server";
            return Err(Miss::failed("no connection", said));
        };
        let (client, server) = (client, End::new(Side::Server, server)?);
        Ok(match acting {
            Side::Client => (client, server),
            Side::Server => (server, client),
        })
    }

    /// A connection through the relay, as [`Stage::pair`], also while others come late: its first eight
    /// bytes say whose it is, and the ends then begin behind them.
    pub(crate) fn pair_by_token(&self, acting: Side, token: u64) -> Result<(End, End), Miss> {
        let upstream = self.upstream();
        let Some(listener) = &*upstream else {
            return Err(Miss::NotRun("nothing listens at the server's end".to_owned()));
        };
        let mut client = self.connect_plain()?;
        client.write_all(&token.to_be_bytes())?;
        let deadline = Instant::now() + self.limits.soon;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(mut server) = accept(listener, left)? else {
                let said = "the relay took the client's connection and made none to the server";
                return Err(Miss::failed("no connection", said));
            };
            server.set_nonblocking(false)?;
            server.set_read_timeout(Some(self.limits.soon))?;
            let mut read = [0; 8];
            // One that came late is not ours, nor is one that broke before it said whose it is.
            if server.read_exact(&mut read).is_ok() && u64::from_be_bytes(read) == token {
                let ends = (End::new(Side::Client, client)?, End::new(Side::Server, server)?);
                return Ok(match acting {
                    Side::Client => ends,
                    Side::Server => (ends.1, ends.0),
                });
            }
        }
    }

    /// The client's end, whatever becomes of the server's.
    pub(crate) fn connect(&self) -> Result<End, Miss> {
        Ok(End::new(Side::Client, self.connect_plain()?)?)
    }

    fn connect_plain(&self) -> Result<TcpStream, Miss> {
        let connect = || TcpStream::connect_timeout(&self.entrance, self.limits.soon);
        let connected = match &self.cables {
            None => connect(),
            Some(cables) => cables.on_client(connect)?,
        };
        connected.map_err(|cause| {
            Miss::failed("no connection", format!("the relay was not to be reached: {cause}"))
        })
    }

    /// The server's end of the next connection that the relay makes, if it makes one.
    pub(crate) fn accept(&self, within: Duration) -> Result<Option<End>, Miss> {
        let upstream = self.upstream();
        let Some(listener) = &*upstream else { return Ok(None) };
        let accepted = accept(listener, within)?;
        Ok(accepted.map(|stream| End::new(Side::Server, stream)).transpose()?)
    }

    /// Plays `scene` while nothing listens at the server's end.
    pub(crate) fn without_server<R>(
        &self,
        scene: impl FnOnce(&Self) -> Result<R, Miss>,
    ) -> Result<R, Miss> {
        let mut upstream = self.upstream();
        *upstream = None;
        let played = scene(self);
        *upstream = Some(self.listen()?);
        played
    }

    /// Why a case with these needs cannot be played here, if it cannot.
    pub(crate) fn lacks(&self, needs: Needs) -> Option<&'static str> {
        self.place.lacks(needs)
    }

    /// The cables of this stage.
    pub(crate) fn cables(&self) -> Result<&Cables, Miss> {
        self.cables.as_ref().ok_or_else(|| Miss::NotRun("this stage has no cables".to_owned()))
    }

    /// How many descriptors the relay's processes hold.
    pub(crate) fn relay_descriptors(&self) -> Result<usize, Miss> {
        let counted = self.relay_pid().and_then(descriptors::of_relay);
        counted.ok_or_else(|| Miss::NotRun("the relay's process could not be looked at".to_owned()))
    }

    /// All that the relay's processes hold; `None` where they cannot be seen.
    pub(crate) fn relay_holdings(&self) -> Option<Holdings> {
        self.relay_pid().and_then(descriptors::held_by_relay)
    }

    fn relay_pid(&self) -> Option<u32> {
        match (&self.place, &self.cables) {
            (Place::Running { pid, .. }, _) => *pid,
            (_, Some(cables)) => cables.relay_pid(),
            _ => None,
        }
    }

    fn listen(&self) -> Result<TcpListener, StageError> {
        let port = self.upstream_port;
        let listen = || listen(self.place.is_local(), port);
        match &self.cables {
            None => listen(),
            Some(cables) => cables.on_server(listen)?,
        }
        .map_err(|cause| StageError::Listen { port, cause })
    }

    fn upstream(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Each stage of it is a lab of its own.
    pub(crate) const fn is_lab(&self) -> bool {
        matches!(self, Self::Lab { .. } | Self::Direct { in_lab: true })
    }

    const fn is_local(&self) -> bool {
        matches!(self, Self::Direct { in_lab: false })
    }
}

/// Listens at all addresses, of IPv6 too where the host has it; or at the loopback's alone.
fn listen(is_local: bool, port: u16) -> io::Result<TcpListener> {
    let addresses: &[IpAddr] = if is_local {
        &[IpAddr::V4(Ipv4Addr::LOCALHOST)]
    } else {
        &[IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
    };
    let listen = |address: IpAddr| {
        let address = SocketAddr::new(address, port);
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match listen(*address) {
            Ok(listener) => return Ok(listener),
            Err(cause) => refused = cause,
        }
    }
    Err(refused)
}

/// More than are ever on their way at once.
const BACKLOG: i32 = 1_024;

/// The next connection, if it comes within this time.
fn accept(listener: &TcpListener, within: Duration) -> io::Result<Option<TcpStream>> {
    let deadline = Instant::now() + within;
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout))?;
    }
}

/// One that is said to run already is there, or was restarted a moment ago.
const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// A relay that needs longer to start is not ready in any sense.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Why a stage could not be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The lab could not be built.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A host of the lab did not do what it was asked to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The server's end could not listen.
    #[error(
        "listen on port {port} for what the relay passes on: {cause}; end what holds the port, or choose another one"
    )]
    Listen {
        /// The port.
        port: u16,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The relay's processes cannot be looked at.
    #[error("look at the relay's processes: they have ended, or belong to somebody else")]
    Unseen,
    /// Nothing comes through.
    #[error(
        "reach our own server through {entrance}: {cause}; is the relay running, and does it forward to that server?{said}"
    )]
    NoRelay {
        /// Where the relay should be.
        entrance: SocketAddr,
        /// What was seen.
        cause: String,
        /// What the relay said, if it was started here.
        said: String,
    },
}
