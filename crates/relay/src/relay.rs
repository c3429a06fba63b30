//! Owns the relay as a whole: its listeners, its workers, and how they are told to drain and stop.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
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
    hand::{Allowance, PIPES_MAX},
    health::{UPSTREAMS_MAX, UpstreamStanding},
    mailbox::{Command, Mailbox},
    notice::Notice,
    reporter::reporter,
    route::{Listener, Route},
    service::{Listen, Plan, Service},
    socket,
    totals::{Counters, Totals},
    upstream::{Upstream, Watched},
    worker::{Budget, Worker},
};

/// A relay that runs in threads of its own.
#[derive(Debug)]
pub struct Relay {
    workers: Vec<Thread>,
    checks: JoinHandle<()>,
    watched: Arc<Watched>,
    listeners: Vec<Arc<Listener>>,
    inherited: Vec<Inherited>,
    budget: Arc<Budget>,
    allowance: Arc<Allowance>,
    dropped: Arc<AtomicU64>,
    is_draining: bool,
}

/// A worker, seen from outside.
#[derive(Debug)]
struct Thread {
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    handle: JoinHandle<io::Result<()>>,
}

/// A listening socket that the process was started with.
#[derive(Debug, Clone)]
pub struct Inherited {
    /// Its name, as systemd gives it (`FileDescriptorName=`).
    pub name: String,
    /// The socket.
    pub socket: Arc<OwnedFd>,
}

/// Why a relay cannot start, or cannot take a new plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {listen}: {cause}")]
    Listen {
        /// The address, or the name.
        listen: Listen,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// No socket of this name was inherited.
    #[error(
        "no listening socket named `{name}` was passed to this process; set FileDescriptorName= in the socket unit"
    )]
    NotInherited {
        /// The name.
        name: String,
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
    pub fn start(
        plan: &Plan,
        inherited: Vec<Inherited>,
    ) -> Result<(Self, Receiver<Notice>), StartError> {
        let budget = Arc::new(Budget::new(places(plan)?));
        let allowance = Arc::new(Allowance::new(plan.max_buffers, plan.workers));
        let (reporter, receiver, dropped) = reporter();
        let watched = Arc::new(Watched::default());
        let listeners = listeners(plan, &[], &inherited, &watched)?;
        let mut workers = Vec::new();
        for number in 0..plan.workers.max(1) {
            let mailbox = Arc::new(Mailbox::new()?);
            let counters = Arc::<Counters>::default();
            mailbox.put(Command::Listen(listeners.clone()));
            let worker = Worker::new(
                Arc::clone(&mailbox),
                Arc::clone(&budget),
                Arc::clone(&allowance),
                Arc::clone(&counters),
                reporter.clone(),
                Instant::now(),
            )?;
            let thread = thread::Builder::new().name(format!("relay-{number}"));
            let handle = thread.spawn(move || worker.run())?;
            workers.push(Thread { mailbox, counters, handle });
        }
        let checks = thread::Builder::new().name("checks".to_owned());
        let checked = Arc::clone(&watched);
        let checks = checks.spawn(move || checked.check_until_over(&reporter))?;
        let relay = Self {
            workers,
            checks,
            watched,
            listeners,
            inherited,
            budget,
            allowance,
            dropped,
            is_draining: false,
        };
        Ok((relay, receiver))
    }

    /// Takes a new plan: listeners that are in both stay open, and pairs live on as they were made.
    ///
    /// # Errors
    /// [`StartError`]; everything is as before then.
    pub fn reload(&mut self, plan: &Plan) -> Result<(), StartError> {
        let most = places(plan)?;
        let listeners = listeners(plan, &self.listeners, &self.inherited, &self.watched)?;
        self.budget.set_most(most);
        self.allowance.set_most(plan.max_buffers);
        self.listeners = listeners;
        self.tell_all(&Command::Listen(self.listeners.clone()));
        Ok(())
    }

    /// Where it listens, in the order of the plan's services; a port of 0 has become a real one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let bound = |listener: &Arc<Listener>| socket::address(listener.socket.as_fd()).ok();
        self.listeners.iter().filter_map(bound).collect()
    }

    /// What can be read of it while it runs, and from other threads.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            counters: self.workers.iter().map(|worker| Arc::clone(&worker.counters)).collect(),
            budget: Arc::clone(&self.budget),
            allowance: Arc::clone(&self.allowance),
            watched: Arc::clone(&self.watched),
            dropped: Arc::clone(&self.dropped),
        }
    }

    /// Whether every worker has taken notice of the call before this one; asks all of them again. One that
    /// hangs, or has ended, does not.
    pub fn beats(&self) -> bool {
        // Once the relay drains, a worker ends with its last pair.
        let mut all = true;
        for worker in &self.workers {
            let has_ended = worker.handle.is_finished();
            all &= if has_ended { self.is_draining } else { worker.mailbox.is_empty() };
            if !has_ended && worker.mailbox.is_empty() {
                worker.mailbox.put(Command::Beat);
            }
        }
        all
    }

    /// Accepts nothing more; pairs that are open live on.
    pub fn drain(&mut self) {
        self.is_draining = true;
        self.listeners.clear();
        self.inherited.clear();
        self.tell_all(&Command::Drain);
    }

    /// Ends all pairs with RST, and waits for the threads to end.
    ///
    /// # Errors
    /// What ended a worker before.
    pub fn stop(self) -> io::Result<()> {
        self.tell_all(&Command::Stop);
        self.watched.end();
        let ended = |handle: JoinHandle<io::Result<()>>| {
            handle.join().unwrap_or_else(|_| Err(io::Error::other("a worker has panicked")))
        };
        let outcomes: Vec<_> =
            self.workers.into_iter().map(|worker| ended(worker.handle)).collect();
        let _ = self.checks.join();
        outcomes.into_iter().collect()
    }

    fn tell_all(&self, command: &Command) {
        for worker in &self.workers {
            worker.mailbox.put(command.clone());
        }
    }
}

/// What can be read of a relay that runs.
#[derive(Debug, Clone)]
pub struct Gauges {
    counters: Vec<Arc<Counters>>,
    budget: Arc<Budget>,
    allowance: Arc<Allowance>,
    watched: Arc<Watched>,
    dropped: Arc<AtomicU64>,
}

impl Gauges {
    /// Pairs that are open now.
    pub fn open_pairs(&self) -> usize {
        self.budget.used()
    }

    /// The most pairs that there may be.
    pub fn most_pairs(&self) -> usize {
        self.budget.most()
    }

    /// Buffers of 64 KiB that there are now, in use or ready to be.
    pub fn buffers(&self) -> usize {
        self.allowance.made()
    }

    /// The most of them that there may be.
    pub fn most_buffers(&self) -> usize {
        self.allowance.most()
    }

    /// What has been counted so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.counters {
            counters.add_to(&mut totals);
        }
        totals
    }

    /// How each upstream stands.
    pub fn upstreams(&self) -> Vec<(SocketAddr, UpstreamStanding)> {
        let upstreams = self.watched.upstreams();
        upstreams.iter().map(|upstream| (upstream.address, upstream.standing())).collect()
    }

    /// How many checks of upstreams were let in.
    pub fn checks_let_in(&self) -> u64 {
        self.watched.checks(true)
    }

    /// How many checks of upstreams were refused, or not answered in time.
    pub fn checks_kept_out(&self) -> u64 {
        self.watched.checks(false)
    }

    /// Notices that were lost because nobody took them in time.
    pub fn dropped_notices(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The listeners of a plan, of which those that are open already are used on. Nothing is changed
/// unless all can be had.
fn listeners(
    plan: &Plan,
    open: &[Arc<Listener>],
    inherited: &[Inherited],
    watched: &Watched,
) -> Result<Vec<Arc<Listener>>, StartError> {
    let mut upstreams: BTreeMap<SocketAddr, Arc<Upstream>> =
        watched.upstreams().into_iter().map(|upstream| (upstream.address, upstream)).collect();
    let mut listeners = Vec::new();
    for service in &plan.services {
        let socket = listening(service, open, inherited)?;
        let of = |address: &SocketAddr| {
            let known = upstreams.entry(*address);
            Arc::clone(known.or_insert_with(|| watched.upstream(*address)))
        };
        let theirs = service.upstreams.iter().take(UPSTREAMS_MAX).map(of).collect();
        let route = Arc::new(Route::new(service.clone(), theirs));
        listeners.push(Arc::new(Listener { socket, route }));
    }
    // Only now, since those that are open already have the options of the plan before. Accepted sockets
    // inherit these.
    for listener in &listeners {
        let service = &listener.route.service;
        let refused = |cause| StartError::Listen { listen: service.listen.clone(), cause };
        socket::keep(listener.socket.as_fd(), &service.client).map_err(refused)?;
    }
    upstreams.retain(|address, _| {
        plan.services.iter().any(|service| service.upstreams.contains(address))
    });
    let now = Instant::now();
    for (address, upstream) in &upstreams {
        let theirs = plan.services.iter().filter(|service| service.upstreams.contains(address));
        upstream.watch(theirs.filter_map(|service| service.check_every).min(), now);
    }
    watched.set(upstreams.into_values().collect());
    Ok(listeners)
}

fn listening(
    service: &Service,
    open: &[Arc<Listener>],
    inherited: &[Inherited],
) -> Result<Arc<OwnedFd>, StartError> {
    let known = open.iter().find(|listener| listener.route.service.listen == service.listen);
    let refused = |cause| StartError::Listen { listen: service.listen.clone(), cause };
    Ok(match (known, &service.listen) {
        (Some(listener), _) => Arc::clone(&listener.socket),
        (None, Listen::On(address)) => Arc::new(socket::listening(*address).map_err(refused)?),
        (None, Listen::Inherited(name)) => {
            let found = inherited.iter().find(|inherited| inherited.name == *name);
            let found = found.ok_or_else(|| StartError::NotInherited { name: name.clone() })?;
            socket::make_nonblocking(found.socket.as_fd()).map_err(refused)?;
            Arc::clone(&found.socket)
        }
    })
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

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, time::Duration};

    use halfopen_core::detection::Tick;
    use rustix::net::sockopt;

    use super::*;
    use crate::{Balance, Liveness};

    fn service(listen: SocketAddr, detect_within: u64) -> Service {
        let within = Duration::from_secs(detect_within);
        let liveness = Liveness::new(within, None, Tick::from_hz(250)).unwrap();
        Service {
            name: "test".into(),
            listen: Listen::On(listen),
            upstreams: vec![listen],
            balance: Balance::InOrder,
            client: liveness,
            upstream: liveness,
            connect_timeout: within,
            check_every: None,
            half_closed_idle: None,
            header_in: false,
            header_out: None,
            tls: None,
        }
    }

    #[test]
    fn a_plan_that_cannot_be_had_leaves_the_options_of_open_listeners_alone() {
        let free = "127.0.0.1:0".parse().unwrap();
        let plan = |services| Plan { services, workers: 1, max_connections: None, max_buffers: 1 };
        let watched = Watched::default();
        let open = listeners(&plan(vec![service(free, 30)]), &[], &[], &watched).unwrap();
        let idle = || sockopt::tcp_keepidle(&open[0].socket).unwrap();
        let before = idle();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = plan(vec![service(free, 300), service(taken.local_addr().unwrap(), 30)]);
        assert!(listeners(&other, &open, &[], &watched).is_err());
        assert_eq!(idle(), before);
        let longer = plan(vec![service(free, 300)]);
        listeners(&longer, &open, &[], &watched).unwrap();
        assert!(idle() > before);
    }
}
