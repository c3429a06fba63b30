//! Two hosts of a lab and one connection between them, for every module here.

use std::net::{TcpListener, TcpStream};

use halfopen_lab::{Host, Lab, Topology};

/// Two hosts and a connection between them. The sockets are this test's own.
pub(crate) struct Pair {
    // In the order in which they are to go: sockets keep the namespace of a host.
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
    pub(crate) listener: TcpListener,
    pub(crate) lab: Lab,
}

impl Pair {
    /// 10.0.0.1 to port 80 of 10.0.0.7.
    pub(crate) fn connected() -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let listener = inside(lab.server().unwrap(), || TcpListener::bind("10.0.0.7:80").unwrap());
        let client = inside(lab.client().unwrap(), || TcpStream::connect("10.0.0.7:80").unwrap());
        let (server, _) = listener.accept().unwrap();
        Self { lab, client, server, listener }
    }

    /// What `--netns` takes for the client's host.
    pub(crate) fn client(&self) -> String {
        self.lab.client().unwrap().pid().unwrap().to_string()
    }

    /// What `--netns` takes for the server's host.
    pub(crate) fn server(&self) -> String {
        self.lab.server().unwrap().pid().unwrap().to_string()
    }
}

/// Runs `work` in the host's network namespace.
pub(crate) fn inside<R: Send>(host: &Host, work: impl FnOnce() -> R + Send) -> R {
    host.enter(work).unwrap()
}
