//! Owns an upstream while the relay runs: its address and health, shared by the workers and the
//! thread that checks them. The decisions are in `health`.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    health::{Health, UpstreamStanding},
    notice::Notice,
    reporter::Reporter,
    socket,
};

/// One upstream.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    health: Mutex<Health>,
    bell: Arc<Bell>,
}

/// Wakes the thread that checks, which sleeps as long as no check is due. It is heard also by a thread that
/// was busy when it rang, which `thread::park` does not promise: a scope that ends parks too.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    has_rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.has_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rings.notify_one();
    }

    /// Sleeps until it rings, or has rung since the last time, or until then.
    fn wait(&self, until: Option<Instant>) {
        let guard = self.has_rung.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |has_rung: &mut bool| !*has_rung;
        let mut has_rung = match until {
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let waited = self.rings.wait_timeout_while(guard, left, is_quiet);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.rings.wait_while(guard, is_quiet);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        *has_rung = false;
    }
}

impl Upstream {
    fn new(address: SocketAddr, bell: Arc<Bell>) -> Self {
        Self { address, health: Mutex::default(), bell }
    }

    pub(crate) fn standing(&self) -> UpstreamStanding {
        self.with(|health| health.standing())
    }

    /// So often it is checked while it is up, once it is among those of [`Watched::set`].
    pub(crate) fn watch(&self, every: Option<Duration>, now: Instant) {
        self.with(|health| health.watch(every, now));
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
        let outcome = TcpStream::connect_timeout(&self.address, CHECK_TIMEOUT);
        if outcome.as_ref().is_err_and(socket::is_want_of_ours) {
            return self.with(|health| health.handle_unchecked(Instant::now()));
        }
        let is_let_in = outcome.is_ok();
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
        self.bell.ring();
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

    /// No check is begun any more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Checks those that are due, until it is over. Runs in a thread of its own.
    pub(crate) fn check_until_over(&self, reporter: &Reporter) {
        while !self.is_over.load(Ordering::Relaxed) {
            let now = Instant::now();
            let upstreams = self.upstreams();
            let is_due =
                |upstream: &&Arc<Upstream>| upstream.check_at().is_some_and(|at| at <= now);
            let due = upstreams.iter().filter(is_due);
            // Each in a thread, so that one that answers nothing does not hold up the others.
            thread::scope(|scope| {
                for upstream in due {
                    let check = move || upstream.check(reporter, &self.checks);
                    // Where there may be no more threads, one after the other has to do.
                    if thread::Builder::new().spawn_scoped(scope, check).is_err() {
                        check();
                    }
                }
            });
            self.bell.wait(upstreams.iter().filter_map(|upstream| upstream.check_at()).min());
        }
    }
}

/// A host that is up answers a connection request well within it, one lost one included.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener};

    use super::*;
    use crate::reporter::reporter;

    #[track_caller]
    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "not within 20 s: {what}");
            thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Whether the thread of this process with this name is asleep, as /proc says.
    fn sleeps(name: &str) -> bool {
        let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let mut stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        stats.any(|stat| stat.contains(&format!("({name}) S ")))
    }

    /// A reload may bring an upstream while the thread that checks sleeps since nobody is to be checked.
    #[test]
    fn an_upstream_that_a_reload_brings_is_checked_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (reporter, _receiver, _dropped) = reporter();
        let watched = Arc::new(Watched::default());
        let name = "new-upstream";
        let checking = Arc::clone(&watched);
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || checking.check_until_over(&reporter)).unwrap();
        eventually("it sleeps", || sleeps(name));
        let new = watched.upstream(listener.local_addr().unwrap());
        new.watch(Some(Duration::from_secs(3600)), Instant::now());
        eventually("it sleeps still, or again", || sleeps(name));
        watched.set(vec![new]);
        eventually("it is checked", || watched.checks(true) == 1);
        watched.end();
        eventually("the thread ends", || thread.is_finished());
    }

    /// Goal: a relay that stops does not wait for a check that is hours away. Method: the end comes while a check
    /// is going on, of a listener whose queue is full, so that it is not answered.
    #[test]
    fn the_thread_that_checks_ends_although_it_was_busy_when_it_was_told() {
        let listener = tcp_listener(0);
        let address = listener.local_addr().unwrap();
        // The kernel lets in one more than was asked for.
        let _queued = TcpStream::connect(address).unwrap();
        let (reporter, _receiver, _dropped) = reporter();
        let watched = Arc::new(Watched::default());
        let upstream = watched.upstream(address);
        upstream.watch(Some(Duration::from_secs(3600)), Instant::now());
        watched.set(vec![upstream]);
        let name = "busy-checks";
        let checking = Arc::clone(&watched);
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || checking.check_until_over(&reporter)).unwrap();
        eventually("it waits for its check", || sleeps(name));
        watched.end();
        eventually("the thread ends", || thread.is_finished());
        assert_eq!(watched.checks(true), 0, "it was answered, so nothing was shown");
    }

    /// A listener in whose queue there is room for so many, and one more.
    fn tcp_listener(backlog: i32) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, backlog).unwrap();
        listener
    }

    #[test]
    fn what_this_host_lacks_says_nothing_of_an_upstream() {
        let error = |errno: rustix::io::Errno| std::io::Error::from(errno);
        for lacking in [rustix::io::Errno::ADDRNOTAVAIL, rustix::io::Errno::MFILE] {
            assert!(socket::is_want_of_ours(&error(lacking)), "{lacking}");
        }
        for telling in [rustix::io::Errno::CONNREFUSED, rustix::io::Errno::HOSTUNREACH] {
            assert!(!socket::is_want_of_ours(&error(telling)), "{telling}");
        }
    }
}
