use std::os::fd::AsFd as _;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Waits until the peer of `stream` has been quiet for `span`.
async fn quiet_for(stream: &TcpStream, span: Duration) {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let seen = observe(stream.as_fd(), Surroundings::once()).unwrap();
        if seen.sample.last_heard().unwrap() > span {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_reset_with_pipelined_data_unread_ends_the_wait_and_the_data_is_still_there() {
    let (mut client, server) = pair().await;
    client.write_all(b"one request, and another").await.unwrap();
    server.readable().await.unwrap();
    let mut server = Watched::new(server);
    let waiting = tokio::spawn(server.closed());
    client.shutdown().await.unwrap();
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap().unwrap(), Ended::Finished);
    let mut text = String::new();
    server.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "one request, and another");
    halfopen_sys::own::reset(client.as_fd()).unwrap();
    assert_eq!(timeout(SOON, broken(server.get_ref())).await.unwrap().unwrap(), Ended::Broken);
    let error = server.write_all(b"answer").await.unwrap_err();
    assert!(matches!(
        Dead::of(&error).unwrap().evidence,
        Evidence::Reset | Evidence::System { .. }
    ));
}

#[tokio::test]
async fn a_half_close_is_not_a_broken_connection() {
    let (mut client, server) = pair().await;
    client.shutdown().await.unwrap();
    assert_eq!(timeout(SOON, closed(&server)).await.unwrap().unwrap(), Ended::Finished);
    assert!(timeout(Duration::from_millis(50), broken(&server)).await.is_err());
}

#[tokio::test]
async fn the_wait_ends_when_the_stream_is_declared_dead_or_dropped() {
    let (client, _server) = pair().await;
    let client = Watched::new(client);
    let waiting = tokio::spawn(client.closed());
    client.watch().declare(Evidence::TimedOut);
    let ended = timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(ended, Ended::Dead(Evidence::TimedOut.into()));

    let (client, _server) = pair().await;
    let client = Watched::new(client);
    let waiting = tokio::spawn(client.closed());
    tokio::task::yield_now().await;
    drop(client);
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap().unwrap(), Ended::Dropped);
}

#[tokio::test]
async fn a_peer_heard_just_now_is_alive_without_a_probe() {
    let (client, _server) = pair().await;
    let liveness = Check::default().is_alive(&client).await.unwrap();
    assert!(matches!(liveness, Liveness::Alive { probed: false, .. }), "{liveness:?}");
}

#[tokio::test]
async fn a_quiet_peer_is_asked_answers_and_the_options_are_as_before() {
    let (client, _server) = pair().await;
    let before = halfopen_sys::options::read(client.as_fd()).unwrap();
    quiet_for(&client, Duration::from_millis(1100)).await;
    let liveness = Check::default().is_alive(&client).await.unwrap();
    assert!(matches!(liveness, Liveness::Alive { probed: true, .. }), "{liveness:?}");
    assert_eq!(halfopen_sys::options::read(client.as_fd()).unwrap(), before);
}

#[tokio::test]
async fn a_peer_that_closed_or_reset_is_not_alive() {
    let (client, mut server) = pair().await;
    server.shutdown().await.unwrap();
    closed(&client).await.unwrap();
    assert_eq!(Check::default().is_alive(&client).await.unwrap(), Liveness::Finished);
    halfopen_sys::own::reset(server.as_fd()).unwrap();
    broken(&client).await.unwrap();
    assert_eq!(Check::default().is_alive(&client).await.unwrap(), Liveness::Broken);
}

#[tokio::test]
async fn a_check_that_is_dropped_gives_the_options_back() {
    let (client, _server) = pair().await;
    let before = halfopen_sys::options::read(client.as_fd()).unwrap();
    quiet_for(&client, Duration::from_millis(1100)).await;
    // Dropped at its first wait, after the probe has been asked for.
    let _ = futures_util::FutureExt::now_or_never(Check::default().is_alive(&client));
    assert_eq!(halfopen_sys::options::read(client.as_fd()).unwrap(), before);
}
