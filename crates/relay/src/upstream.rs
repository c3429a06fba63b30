//! Owns an upstream while the relay runs: its address and health, shared by the workers and the
//! thread that checks them. The decisions are in `health`.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use rustix::io::Errno;

use crate::{
    health::{Health, UpstreamStanding},
    notice::Notice,
    reporter::Reporter,
};

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    health: Mutex<Health>,
    bell: Arc<Bell>,
}

/// Wakes the thread that checks, which sleeps as long as no check is due.
#[derive(Debug, Default)]
pub(crate) struct Bell(OnceLock<Thread>);

impl Bell {
    fn ring(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

impl Upstream {
    fn new(address: SocketAddr, bell: Arc<Bell>) -> Self {
        Self { address, health: Mutex::default(), bell }
    }

    pub(crate) fn standing(&self) -> UpstreamStanding {
        self.with(|health| health.standing())
    }

    /// So often it is checked while it is up.
    pub(crate) fn watch(&self, every: Option<Duration>, now: Instant) {
        self.with(|health| health.watch(every, now));
        self.bell.ring();
    }

    pub(crate) fn handle_let_in(&self, reporter: &Reporter, now: Instant) {
        self.change(reporter, |health| health.handle_let_in(now));
    }

    pub(crate) fn handle_kept_out(&self, reporter: &Reporter, now: Instant) {
        self.change(reporter, |health| health.handle_kept_out(now));
    }

    pub(crate) fn handle_found_dead(&self, reporter: &Reporter, now: Instant) {
        self.change(reporter, |health| health.handle_found_dead(now));
    }

    fn check_at(&self) -> Option<Instant> {
        self.with(|health| health.check_at())
    }

    fn check(&self, reporter: &Reporter, checks: &Checks) {
        // Closing at once is what any port scan looks like; a check that says more would have to
        // know the protocol.
        let is_let_in = match TcpStream::connect_timeout(&self.address, CHECK_TIMEOUT) {
            Ok(_) => true,
            // A relay without descriptors or memory says nothing about its upstreams.
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    return self.with(|health| health.handle_unchecked(Instant::now()));
                }
                _ => false,
            },
        };
        let (counter, now) = (checks.of(is_let_in), Instant::now());
        counter.fetch_add(1, Ordering::Relaxed);
        if is_let_in {
            self.handle_let_in(reporter, now);
        } else {
            self.handle_kept_out(reporter, now);
        }
    }

    fn change(&self, reporter: &Reporter, change: impl FnOnce(&mut Health)) {
        let (before, after) = self.with(|health| {
            let before = health.standing();
            change(health);
            (before, health.standing())
        });
        if before != after {
            reporter.tell(Notice::Upstream { upstream: self.address, standing: after });
            self.bell.ring();
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Health) -> T) -> T {
        what(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many checks there were.
#[derive(Debug, Default)]
struct Checks {
    let_in: AtomicU64,
    kept_out: AtomicU64,
}

impl Checks {
    const fn of(&self, is_let_in: bool) -> &AtomicU64 {
        if is_let_in { &self.let_in } else { &self.kept_out }
    }
}

/// Upstreams that the checking thread looks after. A reload replaces them.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    upstreams: Mutex<Vec<Arc<Upstream>>>,
    bell: Arc<Bell>,
    checks: Checks,
    is_over: AtomicBool,
}

impl Watched {
    pub(crate) fn set(&self, upstreams: Vec<Arc<Upstream>>) {
        *self.upstreams.lock().unwrap_or_else(PoisonError::into_inner) = upstreams;
    }

    /// An upstream to be watched.
    pub(crate) fn upstream(&self, address: SocketAddr) -> Arc<Upstream> {
        Arc::new(Upstream::new(address, Arc::clone(&self.bell)))
    }

    /// Those that are watched now.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many checks were let in, or kept out.
    pub(crate) fn checks(&self, is_let_in: bool) -> u64 {
        self.checks.of(is_let_in).load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Checks those that are due, until it is over. Runs in a thread of its own.
    pub(crate) fn check_until_over(&self, reporter: &Reporter) {
        let _ = self.bell.0.set(thread::current());
        while !self.is_over.load(Ordering::Relaxed) {
            let now = Instant::now();
            let upstreams = self.upstreams();
            let is_due =
                |upstream: &&Arc<Upstream>| upstream.check_at().is_some_and(|at| at <= now);
            let due = upstreams.iter().filter(is_due);
            // Each in a thread, so that one that answers nothing does not hold up the others.
            thread::scope(|scope| {
                for upstream in due {
                    scope.spawn(move || upstream.check(reporter, &self.checks));
                }
            });
            match upstreams.iter().filter_map(|upstream| upstream.check_at()).min() {
                Some(next) => thread::park_timeout(next.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
    }
}

/// A host that is up answers a connection request well within it, one lost one included.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
