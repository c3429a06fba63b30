//! Owns the stream that cannot hang: once its connection is known to be dead, however that is known,
//! every parked read, write and flush wakes with a typed error, and every later one fails at once.
//! Finds nothing out itself but what [`Watched::dead_after`] asks the kernel.

use std::{
    fmt,
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Sleep,
};

use crate::death::{Dead, Evidence};

/// A stream whose reads and writes end when its connection is known to be dead.
///
/// ```
/// use halfopen::{Dead, Evidence, Watched};
/// use tokio::io::AsyncReadExt as _;
///
/// # tokio_test_block_on(async {
/// let (stream, _peer) = tokio::io::duplex(64);
/// let mut stream = Watched::new(stream);
/// let watch = stream.watch();
/// let reader = tokio::spawn(async move { stream.read_u8().await });
/// watch.declare(Evidence::Told("the lease has run out".into()));
/// let error = reader.await.unwrap().unwrap_err();
/// assert!(matches!(Dead::of(&error).unwrap().evidence, Evidence::Told(_)));
/// # });
/// # fn tokio_test_block_on<F: Future>(future: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
/// # }
/// ```
///
/// Cancel-safe wherever the stream inside is: nothing is buffered here.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    shared: Arc<Shared>,
    sweep: Option<Sweep<S>>,
}

/// Tells a [`Watched`] stream that it is dead, and is told so; cheap to clone, and good in any task.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Shared>);

/// Asks again and again, while somebody is parked, whether the connection has died.
struct Sweep<S> {
    ask: fn(&S, Duration) -> Answer,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    waker: Waker,
}

/// What asking has shown.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux tells what has gone unanswered")
)]
pub(crate) enum Answer {
    Dead(Evidence),
    AskAgainIn(Duration),
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    death: OnceLock<Dead>,
    parked: Mutex<Parked>,
    told: Notify,
    gone: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct Parked {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy)]
enum Side {
    Reader,
    Writer,
}

impl<S> Watched<S> {
    /// Watches `stream`.
    pub fn new(stream: S) -> Self {
        Self { stream, shared: Arc::default(), sweep: None }
    }

    /// The handle by which others declare the connection dead, or wait for that.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }

    /// The stream inside.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream inside. What is read or written on it directly is not watched.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Why the connection is dead; `None` as long as it is not known to be.
    pub fn death(&self) -> Option<&Dead> {
        self.shared.death.get()
    }

    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux tells what has gone unanswered")
    )]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux tells what has gone unanswered")
    )]
    pub(crate) fn sweep_with(mut self, limit: Duration, ask: fn(&S, Duration) -> Answer) -> Self {
        let waker = Waker::from(Arc::clone(&self.shared));
        let timer = Box::pin(tokio::time::sleep(limit / ASKED_PER_LIMIT));
        self.sweep = Some(Sweep { ask, limit, timer, waker });
        self
    }

    /// Parks, and asks whether it is worth waiting.
    fn park(&mut self, context: &Context<'_>, side: Side) -> Poll<io::Error> {
        self.shared.park(context, side);
        if let Some(sweep) = &mut self.sweep
            && let Some(evidence) = sweep.poll(&self.stream)
        {
            self.shared.declare(evidence.into());
        }
        // It may have been declared dead just before this task was parked.
        self.shared.death.get().map_or(Poll::Pending, |dead| Poll::Ready(dead.to_io()))
    }

    /// What an answer of the stream inside means.
    fn judge<T>(
        &mut self,
        answer: Poll<io::Result<T>>,
        context: &Context<'_>,
        side: Side,
    ) -> Poll<io::Result<T>> {
        match answer {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(match Dead::from_system(&error) {
                Some(dead) => self.shared.declare(dead).to_io(),
                None => error,
            })),
            Poll::Pending => self.park(context, side).map(Err),
        }
    }

    fn dead(&self) -> Option<io::Error> {
        self.shared.death.get().map(Dead::to_io)
    }
}

impl<S> Sweep<S> {
    fn poll(&mut self, stream: &S) -> Option<Evidence> {
        // Both parked tasks are woken, whichever of them polled last.
        let mut context = Context::from_waker(&self.waker);
        while self.timer.as_mut().poll(&mut context).is_ready() {
            match (self.ask)(stream, self.limit) {
                Answer::Dead(evidence) => return Some(evidence),
                Answer::AskAgainIn(span) => {
                    let least = Duration::from_millis(1);
                    let next = tokio::time::Instant::now() + span.max(least);
                    self.timer.as_mut().reset(next);
                }
            }
        }
        None
    }
}

impl Watch {
    /// Declares the connection dead. The first evidence stays; whoever is parked wakes with it.
    pub fn declare(&self, evidence: Evidence) {
        self.0.declare(evidence.into());
    }

    /// Why the connection is dead; `None` as long as it is not known to be.
    pub fn death(&self) -> Option<&Dead> {
        self.0.death.get()
    }

    /// Waits until the connection is dead, or its stream has been dropped (then `None`). Cancel-safe.
    pub async fn ended(&self) -> Option<Dead> {
        self.0.ended().await
    }
}

impl Shared {
    fn park(&self, context: &Context<'_>, side: Side) {
        let mut parked = self.parked();
        let place = match side {
            Side::Reader => &mut parked.reader,
            Side::Writer => &mut parked.writer,
        };
        match place {
            Some(waker) => waker.clone_from(context.waker()),
            None => *place = Some(context.waker().clone()),
        }
    }

    /// Returns the death that counts: the first one.
    fn declare(&self, dead: Dead) -> &Dead {
        let counts = self.death.get_or_init(|| dead);
        self.wake_all();
        counts
    }

    fn wake_all(&self) {
        let parked = std::mem::take(&mut *self.parked());
        for waker in [parked.reader, parked.writer].into_iter().flatten() {
            waker.wake();
        }
        self.told.notify_waiters();
    }

    pub(crate) async fn ended(&self) -> Option<Dead> {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            // Before the look, so that nothing is missed between the two.
            told.as_mut().enable();
            if let Some(dead) = self.death.get() {
                return Some(dead.clone());
            }
            if self.gone.load(std::sync::atomic::Ordering::Acquire) {
                return None;
            }
            told.await;
        }
    }

    /// A waker that panicked while the lock was held left nothing half done.
    fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        self.shared.gone.store(true, std::sync::atomic::Ordering::Release);
        self.shared.told.notify_waiters();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.dead() {
            return Poll::Ready(Err(error));
        }
        let answer = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.judge(answer, context, Side::Reader)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.dead() {
            return Poll::Ready(Err(error));
        }
        let answer = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(answer, context, Side::Writer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.dead() {
            return Poll::Ready(Err(error));
        }
        let answer = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(answer, context, Side::Writer)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.dead() {
            return Poll::Ready(Err(error));
        }
        let answer = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(answer, context, Side::Writer)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.dead() {
            return Poll::Ready(Err(error));
        }
        let answer = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(answer, context, Side::Writer)
    }
}

impl<S> fmt::Debug for Sweep<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A silence that has begun is then seen early enough to be timed exactly.
pub(crate) const ASKED_PER_LIMIT: u32 = 4;

#[cfg(test)]
mod tests;
