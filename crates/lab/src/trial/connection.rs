//! Owns the connection of one trial: both its ends are sockets of this process, made inside the
//! hosts. Brings it where a case wants it, and acts as its application.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use halfopen_core::{KernelTimer, Moment, Observation, Sample, TcpState};
use halfopen_sys::SocketDiag;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::{Begin, Case, Deed, Ended, TrialError, measure, observation_of, unanswered};
use crate::{host::Host, lab::Lab, topology::SERVER, wait};

/// A connection from the client host to the server host.
pub(super) struct Connection {
    /// `None` once the application has closed it.
    client: Option<Socket>,
    /// The server's end, never read and open until the trial is over. `None` where nothing was connected.
    server: Option<TcpStream>,
    to: SocketAddr,
    /// The client's address; known once it is connecting.
    local: Option<SocketAddr>,
    client_pid: u32,
    diag: SocketDiag,
}

impl Connection {
    /// Makes the connection and brings it where the case begins.
    pub(super) fn bring_to(lab: &Lab, case: &Case) -> Result<Self, TrialError> {
        let client_host = lab.client()?;
        let address = lab.topology().address(SERVER).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let listener = listen(lab.server()?, address, case.begin)?;
        let socket = client_socket(client_host, case)?;
        let mut connection = Self {
            client: Some(socket),
            server: None,
            to: listener.local_addr().map_err(during("find the server's port"))?,
            local: None,
            client_pid: client_host.pid()?,
            diag: client_host.enter(SocketDiag::open)??,
        };
        if case.begin == Begin::Unconnected {
            return Ok(connection);
        }
        connection.connect()?;
        let accepted = wait::until(PATIENCE, || match listener.accept() {
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => None,
            accepted => Some(accepted),
        });
        let accepted = accepted.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        let server = accepted.map_err(during("accept the connection"))?.0;
        connection.wait_for("it is established", |sample| {
            sample.state == TcpState::Established && sample.in_flight() != Some(true)
        })?;
        connection.begin(lab, case.begin, &server)?;
        connection.server = Some(server);
        Ok(connection)
    }

    fn begin(&mut self, lab: &Lab, begin: Begin, server: &TcpStream) -> Result<(), TrialError> {
        match begin {
            Begin::Unconnected | Begin::Established => Ok(()),
            Begin::PeerClosed => {
                server.shutdown(Shutdown::Write).map_err(during("close the server's side"))?;
                self.wait_for("the peer has closed", |sample| sample.state == TcpState::CloseWait)?;
                // Without our acknowledgement its FIN would come again and again, and the client
                // would go on hearing from the peer.
                let mut diag = lab.server()?.enter(SocketDiag::open)??;
                let acknowledged = wait::until(PATIENCE, || match diag.dump() {
                    Ok(dump) => dump
                        .samples
                        .iter()
                        .any(|sample| sample.state == TcpState::FinWait2)
                        .then_some(Ok(())),
                    Err(error) => Some(Err(error.into())),
                });
                acknowledged.unwrap_or_else(|| {
                    let instead = "it is not".to_owned();
                    Err(TrialError::NotReached { wanted: "its FIN is acknowledged", instead })
                })
            }
            Begin::WeClosed => {
                if let Some(client) = &self.client {
                    client.shutdown(Shutdown::Write).map_err(during("shut down"))?;
                }
                self.wait_for("our FIN is acknowledged", |sample| {
                    sample.state == TcpState::FinWait2
                })
            }
            Begin::WindowShut => self.shut_the_window(),
            Begin::BothClosed => {
                self.shut_the_window()?;
                if let Some(client) = &self.client {
                    client.shutdown(Shutdown::Write).map_err(during("shut down"))?;
                }
                server.shutdown(Shutdown::Write).map_err(during("close the server's side"))?;
                self.wait_for("both sides have closed", |sample| sample.state == TcpState::Closing)
            }
            Begin::Abandoned => {
                self.client = None;
                self.wait_for("our FIN is acknowledged", |sample| {
                    sample.state == TcpState::FinWait2
                })
            }
        }
    }

    /// Acts as the application does, and says when, if it does anything.
    pub(super) fn act(&mut self, deed: Deed) -> Result<Option<Moment>, TrialError> {
        let at = halfopen_sys::now();
        match (deed, self.client.as_ref()) {
            (Deed::Nothing, _) | (_, None) => return Ok(None),
            (Deed::Connect, _) => self.connect()?,
            (Deed::Write, Some(client)) => {
                let mut client: &Socket = client;
                client.write_all(b"hello").map_err(during("write"))?;
            }
            (Deed::ShutDown, Some(client)) => {
                client.shutdown(Shutdown::Write).map_err(during("shut down"))?;
            }
            (Deed::Close, _) => {
                self.client = None;
                // A program that another thread is just starting holds a copy of every descriptor
                // until its exec, and the FIN waits for that.
                self.wait_for("our FIN is sent", |sample| sample.state.fin_unacknowledged())?;
            }
        }
        Ok(Some(at))
    }

    /// The observation of the client's end, as the tool gets it.
    pub(super) fn observe(&self) -> Result<Observation, TrialError> {
        let seen = match self.local {
            Some(local) => observation_of(self.client_pid, local)?,
            None => None,
        };
        seen.ok_or_else(|| TrialError::NotReached {
            wanted: "the survey shows it",
            instead: "no such connection".to_owned(),
        })
    }

    /// Waits until so many retransmissions or probes are unanswered.
    pub(super) fn wait_for_unanswered(&mut self, count: u8) -> Result<(), TrialError> {
        self.wait_for("retransmissions or probes are unanswered", |sample| {
            unanswered(sample.timer) >= count
        })
    }

    /// Waits for the end of the client's connection, no longer than `watch` after `from`.
    pub(super) fn watch(
        mut self,
        from: Moment,
        watch: Duration,
    ) -> Result<Option<Ended>, TrialError> {
        let ended = match self.client.take() {
            // Closed in both directions, poll(2) says so at once and cannot tell the end.
            Some(client)
                if self.sample()?.is_some_and(|sample| {
                    matches!(sample.state, TcpState::LastAck | TcpState::Closing)
                }) =>
            {
                let ended = measure::end_in_table(|| self.sample(), from, watch)?;
                let ended = ended.map(|ended| measure::with_errno(ended, &client)).transpose()?;
                self.client = Some(client);
                ended
            }
            Some(client) => {
                let ended = measure::end_of_owned(&client, from, watch)?;
                self.client = Some(client);
                ended
            }
            None => measure::end_in_table(|| self.sample(), from, watch)?,
        };
        if let Some(client) = &self.client {
            // No orphan is to remain that keeps sending into the cut cable.
            client.set_linger(Some(Duration::ZERO)).map_err(during("set SO_LINGER"))?;
        }
        Ok(ended)
    }

    fn connect(&mut self) -> Result<(), TrialError> {
        let Some(client) = &self.client else { return Ok(()) };
        match client.connect(&self.to.into()) {
            Err(cause) if Errno::from_io_error(&cause) == Some(Errno::INPROGRESS) => {}
            connected => connected.map_err(during("connect"))?,
        }
        let local = client.local_addr().map_err(during("find the client's port"))?;
        self.local = local.as_socket();
        Ok(())
    }

    /// Fills the connection, and waits until the window is shut to the last byte.
    fn shut_the_window(&mut self) -> Result<(), TrialError> {
        self.fill()?;
        self.wait_for("the window is shut", |sample| {
            let window = sample.info.as_ref().and_then(|info| info.send_window);
            matches!(sample.timer, KernelTimer::WindowProbe { .. })
                && sample.in_flight() == Some(false)
                && window.is_none_or(|bytes| bytes == 0)
        })
    }

    /// Writes until the kernel takes nothing more.
    fn fill(&self) -> Result<(), TrialError> {
        let Some(mut client) = self.client.as_ref() else { return Ok(()) };
        for _ in 0..WRITES_MAX {
            match client.write(&[0; 4096]) {
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                written => written.map_err(during("fill the connection"))?,
            };
        }
        Err(TrialError::NotReached {
            wanted: "the kernel takes no more bytes",
            instead: format!("it took {WRITES_MAX} writes"),
        })
    }

    fn wait_for(
        &mut self,
        wanted: &'static str,
        is_there: impl Fn(&Sample) -> bool,
    ) -> Result<(), TrialError> {
        let mut last = None;
        let reached = wait::until(PATIENCE, || match self.sample() {
            Ok(sample) => {
                last = sample;
                last.as_ref().filter(|sample| is_there(sample)).map(|_| Ok(()))
            }
            Err(error) => Some(Err(error)),
        });
        reached.unwrap_or_else(|| {
            let instead = last.map_or_else(
                || "no such connection".to_owned(),
                |sample| format!("{}, {:?}", sample.state, sample.timer),
            );
            Err(TrialError::NotReached { wanted, instead })
        })
    }

    /// What the kernel says of the client's end now, if it still knows it.
    fn sample(&mut self) -> Result<Option<Sample>, TrialError> {
        let Some(local) = self.local else { return Ok(None) };
        let samples = self.diag.dump()?.samples;
        Ok(samples.into_iter().find(|sample| sample.endpoints.local == local))
    }
}

/// Far longer than a connection takes to come anywhere, on a busy machine too; window probes and
/// retransmissions come within a second or two.
const PATIENCE: Duration = Duration::from_secs(10);

/// 4 KiB each: far more than the send buffer takes.
const WRITES_MAX: usize = 1_000;

/// 4 KiB, which the kernel doubles (SO_RCVBUF, SO_SNDBUF in socket(7)): shut after a few segments.
const SMALL_BUFFER: usize = 4096;

fn listen(host: &Host, address: IpAddr, begin: Begin) -> Result<TcpListener, TrialError> {
    let listener = host.enter(|| -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(SocketAddr::new(address, 0)),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if begin.shuts_the_window() {
            // Accepted connections inherit it, and the window is offered by it from the SYN on.
            socket.set_recv_buffer_size(SMALL_BUFFER)?;
        }
        socket.bind(&SocketAddr::new(address, 0).into())?;
        socket.listen(1)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    })?;
    listener.map_err(during("listen on the server host"))
}

fn client_socket(host: &Host, case: &Case) -> Result<Socket, TrialError> {
    let socket = host.enter(|| -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if case.begin.shuts_the_window() {
            socket.set_send_buffer_size(SMALL_BUFFER)?;
        }
        if let Some(keepalive) = case.keepalive {
            let options = TcpKeepalive::new()
                .with_time(keepalive.idle)
                .with_interval(keepalive.interval)
                .with_retries(keepalive.probes);
            socket.set_tcp_keepalive(&options)?;
        }
        socket.set_tcp_user_timeout(case.user_timeout)?;
        Ok(socket)
    })?;
    socket.map_err(during("make the client's socket"))
}

fn during(doing: &'static str) -> impl Fn(io::Error) -> TrialError {
    move |cause| TrialError::Socket { doing, cause }
}
