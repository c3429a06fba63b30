use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{Evidence, halves::reset};

const SOON: Duration = Duration::from_secs(20);

struct Through {
    left: TcpStream,
    right: TcpStream,
    copy: JoinHandle<Copied>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

async fn through(options: CopyOptions) -> Through {
    let ((left, inner_left), (inner_right, right)) = (pair().await, pair().await);
    let copy =
        tokio::spawn(async move { copy_bidirectional(inner_left, inner_right, &options).await });
    Through { left, right, copy }
}

impl Through {
    async fn copied(self) -> Copied {
        timeout(SOON, self.copy).await.unwrap().unwrap()
    }
}

async fn text(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    timeout(SOON, stream.read_to_string(&mut text)).await.unwrap()?;
    Ok(text)
}

async fn expect_reset(stream: &mut TcpStream) {
    let error = timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_half_close_passes_and_the_answer_comes_back_whole() {
    let mut t = through(CopyOptions::default()).await;
    t.left.write_all(b"request").await.unwrap();
    t.left.shutdown().await.unwrap();
    assert_eq!(text(&mut t.right).await.unwrap(), "request");
    let right = tokio::spawn(async move {
        t.right.write_all(&vec![7; 5_000_000]).await.unwrap();
        t.right.shutdown().await.unwrap();
    });
    let mut answer = Vec::new();
    timeout(SOON, t.left.read_to_end(&mut answer)).await.unwrap().unwrap();
    right.await.unwrap();
    let copied = timeout(SOON, t.copy).await.unwrap().unwrap();
    assert_eq!((copied.to_right, copied.to_left), (7, 5_000_000));
    assert_eq!((answer.len(), copied.end), (5_000_000, CopyEnd::Finished));
}

#[tokio::test]
async fn a_reset_of_either_side_reaches_the_other_as_a_reset_behind_the_data() {
    for left_resets in [true, false] {
        let mut t = through(CopyOptions::default()).await;
        let (one, other) =
            if left_resets { (&mut t.left, &mut t.right) } else { (&mut t.right, &mut t.left) };
        one.write_all(b"data").await.unwrap();
        let mut bytes = [0; 4];
        timeout(SOON, other.read_exact(&mut bytes)).await.unwrap().unwrap();
        reset(one).unwrap();
        expect_reset(other).await;
        let copied = t.copied().await;
        let wanted = if left_resets { Side::Left } else { Side::Right };
        assert!(matches!(copied.end, CopyEnd::Broken { side, .. } if side == wanted), "{copied:?}");
    }
}

/// What no proxy notices that has stopped polling the side which sent FIN.
#[tokio::test]
async fn a_reset_by_a_side_that_has_half_closed_is_noticed_while_the_other_is_idle() {
    let mut t = through(CopyOptions::default()).await;
    t.left.shutdown().await.unwrap();
    assert_eq!(text(&mut t.right).await.unwrap(), "");
    reset(&t.left).unwrap();
    let copied = timeout(SOON, t.copy).await.unwrap().unwrap();
    assert!(
        matches!(
            copied.end,
            CopyEnd::Broken { side: Side::Left, dead: Dead { evidence: Evidence::Reset } }
        ),
        "{copied:?}"
    );
    assert!(matches!(crate::hangup::broken(&t.right).await.unwrap(), crate::Ended::Broken));
}

#[tokio::test]
async fn a_reset_while_the_other_side_is_half_closed_is_passed_on() {
    let mut t = through(CopyOptions::default()).await;
    t.right.shutdown().await.unwrap();
    assert_eq!(text(&mut t.left).await.unwrap(), "");
    reset(&t.left).unwrap();
    expect_reset(&mut t.right).await;
}

/// A finished answer must not be destroyed by a reset of the other direction that comes after it.
#[tokio::test]
async fn a_finished_direction_is_delivered_before_the_reset() {
    let mut t = through(CopyOptions::default()).await;
    t.right.write_all(&vec![7; 200_000]).await.unwrap();
    t.right.shutdown().await.unwrap();
    let mut first = [0; 1];
    t.left.read_exact(&mut first).await.unwrap();
    reset(&t.right).unwrap();
    let mut rest = Vec::new();
    // The end of the answer comes before the error, or in its place.
    let _ = timeout(SOON, t.left.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest.len(), 199_999);
}

#[tokio::test]
async fn a_half_closed_pair_may_idle_for_ever_unless_a_limit_is_set_and_then_is_reset() {
    let mut t = through(CopyOptions::default()).await;
    t.left.shutdown().await.unwrap();
    text(&mut t.right).await.unwrap();
    assert!(timeout(Duration::from_millis(200), &mut t.copy).await.is_err());
    drop(t);

    // Long beside what a busy machine may be late.
    let (limit, pause) = (Duration::from_secs(2), Duration::from_millis(500));
    let mut t = through(CopyOptions::default().half_closed_idle(limit)).await;
    t.left.shutdown().await.unwrap();
    text(&mut t.right).await.unwrap();
    let began = Instant::now();
    // Every byte restarts the limit; nothing else may end the wait for the next one.
    let mut bytes = [0; 1];
    for _ in 0..3 {
        assert!(timeout(pause, t.left.read_u8()).await.is_err());
        t.right.write_all(b"x").await.unwrap();
        timeout(SOON, t.left.read_exact(&mut bytes)).await.unwrap().unwrap();
    }
    expect_reset(&mut t.left).await;
    assert!(began.elapsed() >= pause * 3 + limit - Duration::from_millis(20));
    assert_eq!(t.copied().await.end, CopyEnd::HalfClosedIdle);
}

#[tokio::test]
async fn a_limit_longer_than_the_clock_can_tell_is_none() {
    let mut t = through(CopyOptions::default().half_closed_idle(Duration::MAX)).await;
    t.left.shutdown().await.unwrap();
    text(&mut t.right).await.unwrap();
    assert!(timeout(Duration::from_millis(200), &mut t.copy).await.is_err());
    t.right.shutdown().await.unwrap();
    assert_eq!(t.copied().await.end, CopyEnd::Finished);
}

#[tokio::test]
async fn an_open_pair_is_not_subject_to_the_limit_of_half_closed_ones() {
    let limit = Duration::from_millis(50);
    let mut t = through(CopyOptions::default().half_closed_idle(limit)).await;
    assert!(timeout(limit * 5, &mut t.copy).await.is_err());
}
