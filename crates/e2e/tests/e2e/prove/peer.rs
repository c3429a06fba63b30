//! The other end: a program of its own on the server's host, so that it can be frozen and dies with
//! its host. It is this test binary, started to run the one ignored test below.

use std::{
    env,
    io::{BufRead as _, stdin},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use halfopen_lab::{Host, Program};

/// Set in the copy that plays the peer.
const ROLE: &str = "HALFOPEN_TEST_ROLE";

/// Holds what it accepts.
pub(crate) const HOLDS: u16 = 1001;
/// Ends its direction at once.
pub(crate) const CLOSES: u16 = 1002;
/// Never accepts, with room for one.
pub(crate) const FULL: u16 = 1005;

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

#[test]
#[ignore = "a program for the other tests, not a test"]
fn play_the_peer() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let listen = |port| TcpListener::bind(("::", port)).unwrap();
    let (holds, closes) = (listen(HOLDS), listen(CLOSES));
    let full = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([0u16; 8], FULL)).into()).unwrap();
    full.listen(0).unwrap();
    for (listener, close) in [(holds, false), (closes, true)] {
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if close {
                    stream.shutdown(Shutdown::Write).unwrap();
                }
                held.push(stream);
            }
        });
    }
    println!("listening");
    let mut held = Vec::new();
    for line in stdin().lock().lines().map_while(Result::ok) {
        held.push(TcpStream::connect(line.trim()).unwrap());
        println!("connected");
    }
}
