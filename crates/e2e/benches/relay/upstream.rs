//! Owns the other end of every measurement: it swallows, echoes or holds, by threads of this process.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Context as _;

use crate::arguments::Test;

/// The other end. Its threads end with the process.
pub(crate) struct Upstream {
    address: SocketAddr,
    swallowed: Arc<AtomicU64>,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Upstream {
    /// Listens, and does with connections what the test needs.
    pub(crate) fn start(test: Test) -> anyhow::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .context("make a socket")?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).context("bind")?;
        socket.listen(4096).context("listen")?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().context("find the own address")?;
        let upstream = Self { address, swallowed: Arc::default(), held: Arc::default() };
        let listener = Arc::new(listener);
        // As many as there are ever connections at a time, where each is served by a thread.
        let threads = if test == Test::Idle { 1 } else { 64 };
        for _ in 0..threads {
            let listener = Arc::clone(&listener);
            let (swallowed, held) = (Arc::clone(&upstream.swallowed), Arc::clone(&upstream.held));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    match test {
                        Test::OneStream | Test::EightStreams => swallow(stream, &swallowed),
                        Test::Rate => echo(stream),
                        Test::Latency => {
                            crate::latency::pin();
                            echo(stream);
                        }
                        Test::Idle => hold(stream, &held),
                    }
                }
            });
        }
        Ok(upstream)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes were swallowed so far.
    pub(crate) fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::Relaxed)
    }

    /// How many connections are held whose first bytes have come and been answered.
    pub(crate) fn held(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets go of all that is held.
    pub(crate) fn let_go(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn swallow(mut stream: TcpStream, swallowed: &AtomicU64) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        swallowed.fetch_add(count as u64, Ordering::Relaxed);
    }
}

fn echo(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = [0; 64];
    while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
}

fn hold(mut stream: TcpStream, held: &Mutex<Vec<TcpStream>>) {
    let mut buffer = [0; 64];
    if stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {
        held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }
}
