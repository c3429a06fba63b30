use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap()
}

#[tokio::test]
async fn after_finish_the_peers_direction_goes_on() {
    let (client, mut server) = pair().await;
    let (mut sending, mut receiving) = halves(client);
    sending.write_all(b"request").await.unwrap();
    sending.finish().unwrap();
    sending.finish().unwrap();
    assert_eq!((sending.state(), receiving.state()), (SendState::FinSent, ReceiveState::Open));
    assert_eq!(sending.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let mut text = String::new();
    soon(server.read_to_string(&mut text)).await.unwrap();
    server.write_all(&vec![7; 1_000_000]).await.unwrap();
    drop(server);
    let mut answer = Vec::new();
    soon(receiving.read_to_end(&mut answer)).await.unwrap();
    assert_eq!((text.as_str(), answer.len()), ("request", 1_000_000));
    assert_eq!(receiving.state(), ReceiveState::FinReceived);
}

#[tokio::test]
async fn dropping_an_unfinished_half_resets_at_once_and_never_looks_like_an_end() {
    let (client, mut server) = pair().await;
    let (mut sending, mut receiving) = halves(client);
    sending.write_all(b"half a request").await.unwrap();
    let reader = tokio::spawn(async move {
        let error = receiving.read_u8().await.unwrap_err();
        (error.kind(), receiving.state())
    });
    drop(sending);
    let mut text = Vec::new();
    let error = soon(server.read_to_end(&mut text)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    // Whoever reads on our side wakes as well.
    let (_, state) = soon(reader).await.unwrap();
    assert_eq!(state, ReceiveState::Reset);
}

#[tokio::test]
async fn dropping_a_finished_half_leaves_the_other_alone() {
    let (client, mut server) = pair().await;
    let (mut sending, mut receiving) = halves(client);
    sending.finish().unwrap();
    drop(sending);
    server.write_all(b"still here").await.unwrap();
    drop(server);
    let mut text = String::new();
    soon(receiving.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "still here");
}

#[tokio::test]
async fn a_reset_by_the_peer_is_seen_in_both_states() {
    let (client, server) = pair().await;
    let (sending, mut receiving) = halves(client);
    reset(&server).unwrap();
    assert!(soon(receiving.read_u8()).await.is_err());
    assert_eq!((sending.state(), receiving.state()), (SendState::Reset, ReceiveState::Reset));
    let mut sending = sending;
    assert_eq!(sending.finish().unwrap_err().kind(), io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn halves_of_one_connection_reunite_and_others_do_not() {
    let ((one, mut server), (other, _other_server)) = (pair().await, pair().await);
    let ((sending, receiving), (other_sending, other_receiving)) = (halves(one), halves(other));
    let (sending, _) = sending.reunite(other_receiving).unwrap_err();
    let (_, receiving) = other_sending.reunite(receiving).unwrap_err();
    let mut stream = sending.reunite(receiving).unwrap();
    stream.write_all(b"whole").await.unwrap();
    drop(stream);
    let mut text = String::new();
    soon(server.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "whole");
}

/// The peer is in the middle of a request that nobody will read when we answer and close. A plain
/// close would reset, and the answer would be lost.
#[tokio::test]
async fn a_lingering_close_delivers_the_answer_to_a_peer_that_is_still_sending() {
    let (mut client, server) = pair().await;
    let (mut sending, receiving) = halves(server);
    let peer = tokio::spawn(async move {
        client.write_all(&vec![1; 4_000_000]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    });
    sending.write_all(b"413 too large").await.unwrap();
    let lingered = lingering_close(sending, receiving, SOON).await.unwrap();
    assert_eq!(lingered.discarded, 4_000_000);
    assert_eq!(soon(peer).await.unwrap(), "413 too large");
}

#[tokio::test]
async fn a_lingering_close_that_takes_too_long_gives_the_connection_back() {
    let (mut client, server) = pair().await;
    let (sending, receiving) = halves(server);
    let limit = Duration::from_millis(30);
    let back = lingering_close(sending, receiving, limit).await.unwrap_err();
    assert_eq!(back.cause.kind(), io::ErrorKind::TimedOut);
    assert_eq!(back.sending.state(), SendState::FinSent);
    client.write_all(b"12345").await.unwrap();
    drop(client);
    let lingered = lingering_close(back.sending, back.receiving, SOON).await.unwrap();
    assert_eq!(lingered.discarded, 5);
}
