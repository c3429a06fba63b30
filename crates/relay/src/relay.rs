//! Owns the relay as a whole: its listeners, its workers, and how they are told to drain and stop.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    hand::PIPES_MAX,
    mailbox::{Command, Mailbox},
    notice::Notice,
    reporter::reporter,
    service::{Plan, Service},
    socket,
    worker::{Budget, Worker},
};

/// A socket that clients connect to, and what it is for.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    pub(crate) service: Arc<Service>,
}

/// A relay that runs in threads of its own.
#[derive(Debug)]
pub struct Relay {
    workers: Vec<(Arc<Mailbox>, JoinHandle<io::Result<()>>)>,
    budget: Arc<Budget>,
    dropped: Arc<AtomicU64>,
    addresses: Vec<SocketAddr>,
}

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// There are too few descriptors for even one connection.
    #[error(
        "{limit} descriptors are too few for a relay: it needs {needed}; raise the limit (ulimit -n)"
    )]
    Descriptors {
        /// RLIMIT_NOFILE.
        limit: usize,
        /// What is needed.
        needed: usize,
    },
    /// Anything else that the kernel refused.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl Relay {
    /// Listens and relays. Notices come out of the second value.
    ///
    /// Raises the process's limit of descriptors to what it may have.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub fn start(plan: &Plan) -> Result<(Self, Receiver<Notice>), StartError> {
        let budget = Arc::new(Budget::new(places(plan)?));
        let (reporter, receiver, dropped) = reporter();
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for service in &plan.services {
            let address = service.listen;
            let open = || {
                let socket = socket::listening(address, &service.client)?;
                let bound = SocketAddr::try_from(rustix::net::getsockname(&socket)?)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
                Ok((socket, bound))
            };
            let (socket, bound) = open().map_err(|cause| StartError::Listen { address, cause })?;
            addresses.push(bound);
            listeners.push(Arc::new(Listener { socket, service: Arc::new(service.clone()) }));
        }
        let mut workers = Vec::new();
        for number in 0..plan.workers.max(1) {
            let mailbox = Arc::new(Mailbox::new()?);
            mailbox.put(Command::Listen(listeners.clone()));
            let worker = Worker::new(
                Arc::clone(&mailbox),
                Arc::clone(&budget),
                reporter.clone(),
                Instant::now(),
            )?;
            let thread = thread::Builder::new().name(format!("relay-{number}"));
            workers.push((mailbox, thread.spawn(move || worker.run())?));
        }
        Ok((Self { workers, budget, dropped, addresses }, receiver))
    }

    /// Where it listens, in the order of the plan's services; a port of 0 has become a real one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Pairs that are open now.
    pub fn open_pairs(&self) -> usize {
        self.budget.used()
    }

    /// Notices that were lost because nobody took them in time.
    pub fn dropped_notices(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Accepts nothing more; pairs that are open live on.
    pub fn drain(&self) {
        self.tell_all(&Command::Drain);
    }

    /// Ends all pairs with RST, and waits for the workers to end.
    ///
    /// # Errors
    /// What ended a worker before.
    pub fn stop(self) -> io::Result<()> {
        self.tell_all(&Command::Stop);
        for (_, thread) in self.workers {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker has panicked")))?;
        }
        Ok(())
    }

    fn tell_all(&self, command: &Command) {
        for (mailbox, _) in &self.workers {
            mailbox.put(command.clone());
        }
    }
}

/// How many pairs there is room for.
fn places(plan: &Plan) -> Result<usize, StartError> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it may not be raised, what there is counts.
    let _ = setrlimit(Resource::Nofile, raised);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let workers = plan.workers.max(1);
    let reserved = RESERVED + plan.services.len() + workers * (2 + 2 * PIPES_MAX);
    let most = limit.saturating_sub(reserved) / 2;
    let most = plan.max_connections.map_or(most, |wanted| wanted.min(most));
    if most == 0 {
        return Err(StartError::Descriptors { limit, needed: reserved + 2 });
    }
    Ok(most)
}

/// For standard streams, logs, metrics and health checks.
const RESERVED: usize = 64;
