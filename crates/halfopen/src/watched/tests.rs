use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split},
    time::timeout,
};

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn told() -> Evidence {
    Evidence::Told("the lease has run out".into())
}

#[tokio::test]
async fn parked_reads_and_writes_wake_with_the_evidence() {
    // Nobody reads from the peer's end, so the second write fills the pipe and parks.
    let (stream, _peer) = duplex(4);
    let stream = Watched::new(stream);
    let watch = stream.watch();
    let (mut reading, mut writing) = split(stream);
    let reader = tokio::spawn(async move { reading.read_u8().await.unwrap_err() });
    let writer = tokio::spawn(async move { writing.write_all(&[0; 64]).await.unwrap_err() });
    // Both are parked once they have been polled.
    while watch.0.parked().reader.is_none() || watch.0.parked().writer.is_none() {
        tokio::task::yield_now().await;
    }
    watch.declare(told());
    for task in [reader, writer] {
        let error = timeout(SOON, task).await.unwrap().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(Dead::of(&error).unwrap().evidence, told());
    }
}

#[tokio::test]
async fn a_parked_flush_and_shutdown_wake_too() {
    struct Stuck;
    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }
    for shutting_down in [false, true] {
        let mut stream = Watched::new(Stuck);
        let watch = stream.watch();
        let parked =
            async { if shutting_down { stream.shutdown().await } else { stream.flush().await } };
        let (ended, ()) = tokio::join!(timeout(SOON, parked), async {
            tokio::task::yield_now().await;
            watch.declare(told());
        });
        assert_eq!(Dead::of(&ended.unwrap().unwrap_err()).unwrap().evidence, told());
    }
}

#[tokio::test]
async fn the_first_evidence_stays_and_everything_after_it_fails_at_once() {
    let (stream, mut peer) = duplex(64);
    let mut stream = Watched::new(stream);
    peer.write_all(b"too late").await.unwrap();
    stream.watch().declare(told());
    stream.watch().declare(Evidence::Reset);
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(Dead::of(&error).unwrap().evidence, told());
    assert!(stream.write_all(b"x").await.is_err());
    assert_eq!(stream.death().unwrap().evidence, told());
}

#[tokio::test]
async fn a_stream_that_is_well_is_left_alone() {
    let (stream, mut peer) = duplex(64);
    let mut stream = Watched::new(stream);
    stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).await.unwrap();
    peer.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"pong");
    drop(peer);
    // A clean end is no death.
    assert_eq!(stream.read(&mut bytes).await.unwrap(), 0);
    assert_eq!(stream.death(), None);
}

#[tokio::test]
async fn whoever_waits_for_the_end_is_told_of_a_death_and_of_a_drop() {
    let (stream, _peer) = duplex(64);
    let stream = Watched::new(stream);
    let watch = stream.watch();
    let waiting = tokio::spawn(async move { watch.ended().await });
    let watch = stream.watch();
    watch.declare(told());
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), Some(told().into()));

    let stream = Watched::new(duplex(64).0);
    let watch = stream.watch();
    let waiting = tokio::spawn(async move { watch.ended().await });
    tokio::task::yield_now().await;
    drop(stream);
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_asks_only_while_somebody_waits_and_ends_the_wait() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let (stream, _peer) = duplex(64);
    let mut stream =
        Watched::new(stream).sweep_with(Duration::from_secs(8), |_, limit| {
            match ASKED.fetch_add(1, Ordering::Relaxed) {
                3 => Answer::Dead(Evidence::Unanswered { silent_for: limit }),
                _ => Answer::AskAgainIn(limit / ASKED_PER_LIMIT),
            }
        });
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    let began = tokio::time::Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert!(matches!(Dead::of(&error).unwrap().evidence, Evidence::Unanswered { .. }));
    // The first question was overdue, three more came two seconds apart.
    assert_eq!(began.elapsed().as_secs(), 6);
}

/// The task that polled last gave up waiting; the other must be woken all the same.
#[tokio::test(start_paused = true)]
async fn a_sweep_wakes_the_reader_although_the_writer_polled_last() {
    let (stream, _peer) = duplex(4);
    let stream = Watched::new(stream).sweep_with(Duration::from_secs(8), |_, limit| {
        Answer::Dead(Evidence::Unanswered { silent_for: limit })
    });
    let (mut reading, mut writing) = split(stream);
    let reader = tokio::spawn(async move { reading.read_u8().await.unwrap_err() });
    tokio::task::yield_now().await;
    let gave_up = timeout(Duration::from_secs(1), writing.write_all(&[0; 64])).await;
    assert!(gave_up.is_err());
    let error = timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
    assert!(Dead::of(&error).is_some());
}
