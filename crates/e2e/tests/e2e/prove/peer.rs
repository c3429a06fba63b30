//! The other end: a program of its own on the server's host, so that it can be frozen and dies with
//! its host. It is this test binary, started to run the one ignored test below.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, stdin},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use halfopen_lab::{Host, Program, wait};

/// Set in the copy that plays the peer.
const ROLE: &str = "HALFOPEN_TEST_ROLE";

/// Holds what it accepts.
pub(crate) const HOLDS: u16 = 1001;
/// Ends its direction at once.
pub(crate) const CLOSES: u16 = 1002;
/// Never accept, with room for one: over IPv4, over IPv6.
pub(crate) const FULL: [u16; 2] = [1005, 1006];

/// Longer than a program takes to start on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Starts the peer, which listens once this returns.
pub(crate) fn start(host: &Host) -> Program {
    start_after(host, ":")
}

/// As [`start`], after the shell has done this: the peer is the process that did it.
pub(crate) fn start_after(host: &Host, does: &str) -> Program {
    let exe = env::current_exe().unwrap();
    let (role, shell) = (format!("{ROLE}=peer"), format!("{does} && exec env \"$@\""));
    let name = "prove::peer::play_the_peer";
    let exe = exe.to_str().unwrap();
    let words = ["-c", &shell, "sh", &role, exe, "--ignored", "--exact", name, "--nocapture"];
    let program = host.spawn("sh", &words).unwrap();
    assert!(program.line_with("listening", SOON).is_some(), "the peer does not start");
    program
}

/// Makes the peer connect to `to` and hold it.
pub(crate) fn connect(program: &mut Program, to: SocketAddr) {
    program.type_line(&to.to_string()).unwrap();
    assert!(program.line_with("connected", SOON).is_some(), "the peer does not connect to {to}");
}

/// Makes the peer end its direction of what it accepted from `from` on this port.
pub(crate) fn end(program: &mut Program, from: SocketAddr, port: u16) {
    program.type_line(&format!("end {from} {port}")).unwrap();
    assert!(program.line_with("ended", SOON).is_some(), "the peer does not end {from}");
}

#[test]
#[ignore = "a program for the other tests, not a test"]
fn play_the_peer() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let accepted: Accepted = Arc::default();
    for (port, close) in [(HOLDS, false), (CLOSES, true)] {
        let listener = TcpListener::bind(("::", port)).unwrap();
        let accepted = Arc::clone(&accepted);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if close {
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                let from = plain(stream.peer_addr().unwrap());
                accepted.lock().unwrap().insert(format!("{from} {port}"), stream);
            }
        });
    }
    let _full = FULL.map(never_accepts);
    println!("listening");
    let mut held = Vec::new();
    for line in stdin().lock().lines().map_while(Result::ok) {
        match line.trim().strip_prefix("end ") {
            Some(from) => {
                // It is connected before it is accepted.
                let stream =
                    wait::until(SOON, || accepted.lock().unwrap().get(from)?.try_clone().ok());
                stream.unwrap().shutdown(Shutdown::Write).unwrap();
                println!("ended");
            }
            None => {
                held.push(TcpStream::connect(line.trim()).unwrap());
                println!("connected");
            }
        }
    }
}

/// What was accepted, by the address of its other end and our port: two connections to different
/// ports may come from one address.
type Accepted = Arc<Mutex<BTreeMap<String, TcpStream>>>;

/// An address of IPv4 as itself, whatever socket it came by.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn never_accepts(port: u16) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([0u16; 8], port)).into()).unwrap();
    socket.listen(0).unwrap();
    socket
}
