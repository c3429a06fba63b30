//! Goal: what `reap` predicts for application and peer is what both see, in every state. Method: one
//! connection for each state, destroyed; the prediction beside what each socket then says. A frame
//! sent after the act marks the place in the cable before which a reset would have passed.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
};

use halfopen_lab::{End, Frame, Lab, Topology, wait};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::{PATIENCE, fate, reap};
use crate::{json, pair::inside, record::Record, requires_lab};

/// Where a connection is brought before it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Established,
    Unread,
    CloseWait,
    FinWait2,
    FinWait2Orphan,
    FinWait1,
    FinWait1Orphan,
    LastAck,
    LastAckOrphan,
    TimeWait,
    Unaccepted,
    SynSent,
    Embryonic,
}

const CASES: [(Case, &str); 13] = [
    (Case::Established, "ESTABLISHED"),
    (Case::Unread, "ESTABLISHED"),
    (Case::CloseWait, "CLOSE-WAIT"),
    (Case::FinWait2, "FIN-WAIT-2"),
    (Case::FinWait2Orphan, "FIN-WAIT-2"),
    (Case::FinWait1, "FIN-WAIT-1"),
    (Case::FinWait1Orphan, "FIN-WAIT-1"),
    (Case::LastAck, "LAST-ACK"),
    (Case::LastAckOrphan, "LAST-ACK"),
    (Case::TimeWait, "TIME-WAIT"),
    (Case::Unaccepted, "ESTABLISHED"),
    (Case::SynSent, "SYN-SENT"),
    (Case::Embryonic, "SYN-RECEIVED"),
];

#[test]
fn what_is_predicted_for_application_and_peer_is_what_both_see() {
    requires_lab!();
    let mut table = String::new();
    for (case, state) in CASES {
        let row = Stage::set(case).play(state);
        table += &format!("{case:?} ({state})\n{row}\n");
    }
    insta::assert_snapshot!(table.trim_end());
}

/// A lab with one connection. The victim is the client's end, except for what only a server has.
struct Stage {
    // In the order in which they are to go: sockets keep the namespace of a host.
    client: Option<Socket>,
    server: Option<Socket>,
    listener: Socket,
    case: Case,
    lab: Lab,
}

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 80);

impl Stage {
    fn set(case: Case) -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let socket = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            // A window that shuts after a few segments; children inherit it.
            socket.set_recv_buffer_size(4096).unwrap();
            socket.set_send_buffer_size(4096).unwrap();
            socket
        };
        let listener = inside(lab.server().unwrap(), || {
            let listener = socket();
            listener.bind(&SERVER.into()).unwrap();
            listener.listen(8).unwrap();
            listener
        });
        let client = inside(lab.client().unwrap(), socket);
        let mut stage = Self { client: Some(client), server: None, listener, case, lab };
        stage.connect();
        stage.bring();
        stage
    }

    fn is_server(&self) -> bool {
        matches!(self.case, Case::Unaccepted | Case::Embryonic)
    }

    fn client(&self) -> &Socket {
        self.client.as_ref().unwrap()
    }

    fn server(&self) -> &Socket {
        self.server.as_ref().unwrap()
    }

    fn connect(&mut self) {
        if matches!(self.case, Case::SynSent | Case::Embryonic) {
            // The SYN arrives, its answer does not.
            self.lab.cable(0).unwrap().cut_from(End::Right);
            self.client().set_nonblocking(true).unwrap();
            self.client().connect(&SERVER.into()).unwrap_err();
            return;
        }
        self.client().connect(&SERVER.into()).unwrap();
        if self.case != Case::Unaccepted {
            self.server = Some(self.listener.accept().unwrap().0);
        }
    }

    fn bring(&mut self) {
        match self.case {
            Case::Established | Case::Unaccepted | Case::SynSent | Case::Embryonic => {}
            Case::Unread => self.server().send(b"unread").map(drop).unwrap(),
            Case::CloseWait => self.server().shutdown(Shutdown::Write).unwrap(),
            Case::FinWait2 => self.client().shutdown(Shutdown::Write).unwrap(),
            Case::FinWait2Orphan => self.client = None,
            Case::FinWait1 | Case::FinWait1Orphan => {
                self.fill();
                self.client().shutdown(Shutdown::Write).unwrap();
                if self.case == Case::FinWait1Orphan {
                    self.client = None;
                }
            }
            Case::LastAck | Case::LastAckOrphan => {
                self.server().shutdown(Shutdown::Write).unwrap();
                self.wait_for("CLOSE-WAIT");
                self.fill();
                self.client().shutdown(Shutdown::Write).unwrap();
                if self.case == Case::LastAckOrphan {
                    self.client = None;
                }
            }
            Case::TimeWait => {
                self.client = None;
                self.wait_for("FIN-WAIT-2");
                self.server().shutdown(Shutdown::Write).unwrap();
            }
        }
    }

    /// Writes until the kernel takes no more, so that a FIN has to wait behind data.
    fn fill(&self) {
        self.client().set_nonblocking(true).unwrap();
        while self.client().send(&[0; 4096]).is_ok() {}
        self.client().set_nonblocking(false).unwrap();
    }

    fn netns(&self) -> String {
        let host = if self.is_server() { self.lab.server() } else { self.lab.client() };
        host.unwrap().pid().unwrap().to_string()
    }

    fn wait_for(&self, state: &str) {
        let mut last = Value::Null;
        let reached = wait::until(PATIENCE, || {
            last = json(&["ls", "--netns", &self.netns(), "--json"]);
            let one = last["connections"].get(0)?;
            let unread = self.case != Case::Unread || {
                // What was sent may not have arrived.
                self.client().set_nonblocking(true).unwrap();
                let peeked = self.client().peek(&mut [std::mem::MaybeUninit::uninit()]);
                self.client().set_nonblocking(false).unwrap();
                peeked.is_ok()
            };
            (one["state"] == state && unread).then_some(())
        });
        assert!(reached.is_some(), "never {state}: {last:#}");
    }

    /// Ends the connection and tells what was predicted and what was seen.
    fn play(mut self, state: &str) -> String {
        self.wait_for(state);
        let cable = self.lab.cable(0).unwrap();
        let mark = cable.next_number();
        let record = Record::new();
        let arguments = ["--all", "--unproved", "--apply", "--audit", record.path()];
        let done = reap(&self.netns(), &arguments);
        let (what, one) = fate(&done);
        assert_eq!(what, "ended", "{:?}: {done:#}", self.case);
        let act = record.lines().pop().unwrap();
        assert_eq!(act["before"], state);
        let predicted = |who: &str| one[who]["text"].as_str().unwrap().to_owned();
        let (application, peer) = (predicted("application"), predicted("peer"));
        let reset = self.reset_was_sent(mark);
        format!(
            "  application, predicted: {application}\n  application, seen:      {}\n  \
             peer, predicted:        {peer}\n  peer, seen:             {}{}\n  afterwards: {}\n",
            self.application_sees(),
            if reset { "RST; " } else { "no RST; " },
            self.peer_sees(),
            act["after"].as_str().unwrap(),
        )
    }

    /// Whether the victim's host has sent RST since `mark`, told once a later frame has passed.
    fn reset_was_sent(&self, mark: u64) -> bool {
        let (host, other, end) = if self.is_server() {
            (self.lab.server(), "10.0.0.1:9", End::Right)
        } else {
            (self.lab.client(), "10.0.0.7:9", End::Left)
        };
        inside(host.unwrap(), || {
            UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"mark", other).unwrap()
        });
        let cable = self.lab.cable(0).unwrap();
        let is_mark = |frame: &Frame| *frame == Frame::Other("UDP".to_owned());
        let passed =
            cable.wait_for(mark, PATIENCE, |seen| seen.from == end && is_mark(&seen.frame));
        assert!(passed.is_some(), "the mark did not pass");
        cable.frames(mark).iter().any(|seen| {
            seen.from == end && seen.frame.segment().is_some_and(|segment| segment.flags.rst)
        })
    }

    fn application_sees(&mut self) -> String {
        match self.case {
            Case::Embryonic => return "nobody".to_owned(),
            Case::Unaccepted => self.client = Some(self.listener.accept().unwrap().0),
            Case::SynSent => {
                let error = self.client().take_error().unwrap();
                return format!("connect: {}", error.map_or("nothing".to_owned(), name));
            }
            _ => {}
        }
        match self.client.take() {
            Some(socket) => calls(socket),
            None => "nobody".to_owned(),
        }
    }

    fn peer_sees(&mut self) -> String {
        match self.case {
            // Nobody there has ever heard of it, or goes on asking.
            Case::SynSent => return "nothing".to_owned(),
            Case::Embryonic => {
                self.lab.cable(0).unwrap().mend();
                let connected = wait::until(PATIENCE, || {
                    self.client().peer_addr().is_ok().then_some("connects at its next SYN")
                });
                return connected.unwrap_or("nothing").to_owned();
            }
            _ => {}
        }
        let peer = match self.case {
            Case::Unaccepted => return "see the application: its end is the client".to_owned(),
            _ => self.server.take().unwrap(),
        };
        calls(peer)
    }
}

/// What the application's next calls answer: reading until nothing more comes, then sending,
/// then once more each.
fn calls(socket: Socket) -> String {
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let first = read(&mut stream);
    let sent = sent(&mut stream);
    let second = read(&mut stream);
    format!("read: {first}; send: {sent}; read: {second}")
}

fn read(stream: &mut TcpStream) -> String {
    let mut data = "";
    loop {
        match stream.read(&mut [0; 65_536]) {
            Ok(0) => return format!("{data}end of file"),
            Ok(_) => data = "data, then ",
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return format!("{data}nothing");
            }
            Err(error) => return format!("{data}{}", name(error)),
        }
    }
}

fn sent(stream: &mut TcpStream) -> String {
    stream.write(b"x").map_or_else(name, |_| "taken".to_owned())
}

fn name(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionAborted => "ECONNABORTED".to_owned(),
        ErrorKind::ConnectionReset => "ECONNRESET".to_owned(),
        ErrorKind::BrokenPipe => "EPIPE".to_owned(),
        _ => error.to_string(),
    }
}
