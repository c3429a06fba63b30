//! Owns a stage: live connections of known kinds on the loopback, held while a command looks at them.
//! `staged_connections COMMAND [ARGUMENT]...` ends with the exit code of the command, which finds
//! the id of the connection with keepalive in the variable `KEEPALIVE_ID`.
//! Must not    leave anything behind: the connections end with this process.

use std::{
    env,
    error::Error,
    io::{self, Read},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use halfopen_core::{Sample, TcpState};
use halfopen_sys::SocketDiag;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

/// Where the listener stands; see also `xtask/src/old_kernel/picture.rs`, which knows what to expect.
const LISTENER: u16 = 40111;
/// The clients' ports.
const KEEPALIVE: u16 = 50001;
const HALF_CLOSED: u16 = 50002;
const IDLE: u16 = 50003;
const TIME_WAIT: u16 = 50004;
/// One connection over IPv6, to a listener of its own.
const LISTENER_V6: u16 = 40112;
const IDLE_V6: u16 = 50005;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: staged_connections COMMAND [ARGUMENT]...");
        return Ok(ExitCode::from(2));
    };
    let listener = TcpListener::bind(v4(LISTENER))?;
    let listener_v6 = TcpListener::bind(v6(LISTENER_V6))?;

    let keepalive = connect(v4(KEEPALIVE), &listener)?;
    let options = TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(30))
        .with_retries(4);
    keepalive.0.set_tcp_keepalive(&options)?;
    let half_closed = connect(v4(HALF_CLOSED), &listener)?;
    half_closed.1.shutdown(Shutdown::Write)?;
    let _idle = connect(v4(IDLE), &listener)?;
    let _idle_v6 = connect(v6(IDLE_V6), &listener_v6)?;
    close_in_turn(connect(v4(TIME_WAIT), &listener)?)?;

    let id = wait_for(KEEPALIVE, TcpState::Established)?.id;
    wait_for(HALF_CLOSED, TcpState::CloseWait)?;
    wait_for(TIME_WAIT, TcpState::TimeWait)?;
    let status = Command::new(program).args(words).env("KEEPALIVE_ID", id.to_string()).status()?;
    // Ended by a signal is a failure like any other.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into))
}

fn v4(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn v6(port: u16) -> SocketAddr {
    ([0, 0, 0, 0, 0, 0, 0, 1], port).into()
}

/// A connection from `local`: the client's end, then the server's.
fn connect(local: SocketAddr, listener: &TcpListener) -> io::Result<(Socket, TcpStream)> {
    let client = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    // What an earlier run left in TIME-WAIT must not be in the way.
    client.set_reuse_address(true)?;
    client.bind(&SockAddr::from(local))?;
    client.connect(&SockAddr::from(listener.local_addr()?))?;
    Ok((client, listener.accept()?.0))
}

/// The client closes first, so it is the client's end that stays in TIME-WAIT.
fn close_in_turn((client, mut server): (Socket, TcpStream)) -> io::Result<()> {
    drop(client);
    server.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The socket with this local port, once it is in this state.
fn wait_for(local: u16, state: TcpState) -> Result<Sample, Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    let mut diag = SocketDiag::open()?;
    loop {
        let mut samples = diag.dump()?.samples.into_iter();
        let found = samples.find(|one| one.endpoints.local.port() == local && one.state == state);
        if let Some(sample) = found {
            return Ok(sample);
        }
        if Instant::now() >= deadline {
            return Err(format!("port {local} did not come to {state}").into());
        }
        thread::yield_now();
    }
}

/// On the loopback every state is reached in microseconds.
const PATIENCE: Duration = Duration::from_secs(10);
