use std::num::NonZeroU32;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::{Instant, advance, timeout},
};
use tokio_util::codec::{LengthDelimitedCodec, LinesCodec};

use super::*;

fn policy() -> HeartbeatPolicy {
    HeartbeatPolicy {
        interval: Duration::from_secs(10),
        answer_within: Duration::from_secs(2),
        judgement: Judgement::Misses(NonZeroU32::new(3).unwrap()),
        jitter_percent: 0,
        pause_after: Duration::from_secs(1),
    }
}

type Lines = Beating<Framed<Watched<DuplexStream>, LinesCodec>, LineBeats, String>;

fn lines(room: usize) -> (Lines, DuplexStream) {
    let (stream, peer) = duplex(room);
    let framed = Framed::new(Watched::new(stream), LinesCodec::new());
    let watch = framed.get_ref().watch();
    let beats = LineBeats::new("PING", "PONG");
    (Beating::on(framed, beats, policy(), Clock::Tokio).declaring(watch), peer)
}

#[tokio::test(start_paused = true)]
async fn a_dead_peer_ends_the_stream_with_the_evidence_exactly_when_the_policy_says() {
    let (mut lines, _peer) = lines(1024);
    let began = Instant::now();
    let error = lines.next().await.unwrap().unwrap_err();
    let BeatingError::Dead(dead) = error else { panic!("{error}") };
    let silent_for = Duration::from_secs(16);
    assert_eq!(dead.evidence, Evidence::Heartbeat { missed: 3, silent_for });
    // Timers of tokio are exact to a millisecond.
    let late = began.elapsed() - silent_for;
    assert!(late < Duration::from_millis(10), "{late:?}");
    assert!(lines.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_lives_and_its_answers_are_not_shown() {
    let (mut lines, peer) = lines(1024);
    let mut peer = Framed::new(peer, LinesCodec::new());
    let answering = tokio::spawn(async move {
        for _ in 0..5 {
            let question = peer.next().await.unwrap().unwrap();
            let number = question.strip_prefix("PING ").unwrap();
            peer.send(format!("PONG {number}")).await.unwrap();
        }
        peer.send("news".to_owned()).await.unwrap();
        peer
    });
    assert_eq!(lines.next().await.unwrap().unwrap(), "news");
    assert_eq!((lines.missed(), lines.round_trip()), (0, Some(Duration::ZERO)));
    drop(answering.await.unwrap());
    assert!(lines.next().await.is_none());
}

/// The heartbeat finds the death, and a writer that is parked in another task must hear of it.
#[tokio::test(start_paused = true)]
async fn a_parked_writer_wakes_when_the_heartbeat_gives_up() {
    let (lines, _peer) = lines(16);
    let (mut sending, mut receiving) = lines.split();
    let writer = tokio::spawn(async move {
        loop {
            if let Err(error) = sending.send("a line that nobody reads".to_owned()).await {
                return error.to_string();
            }
        }
    });
    let reader = tokio::spawn(async move { receiving.next().await.unwrap().unwrap_err() });
    let told = timeout(Duration::from_secs(60), writer).await.unwrap().unwrap();
    assert!(told.contains("the connection is dead"), "{told}");
    let error = timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
    assert!(error.to_string().contains("the connection is dead"), "{error}");
}

/// As over a WebSocket: nothing below can be declared dead.
#[tokio::test(start_paused = true)]
async fn a_parked_writer_wakes_also_where_nothing_below_is_watched() {
    let (stream, _peer) = duplex(16);
    let framed = Framed::new(stream, LinesCodec::new());
    let lines = Beating::on(framed, LineBeats::new("PING", "PONG"), policy(), Clock::Tokio);
    let (mut sending, mut receiving) = lines.split();
    let writer = tokio::spawn(async move {
        loop {
            if let Err(error) = sending.send("a line that nobody reads".to_owned()).await {
                return error;
            }
        }
    });
    let error = timeout(Duration::from_secs(60), receiving.next()).await.unwrap().unwrap();
    assert!(matches!(error, Err(BeatingError::Dead(_))), "{error:?}");
    let told = timeout(Duration::from_secs(60), writer).await.unwrap().unwrap();
    assert!(matches!(told, BeatingError::Dead(_)), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_our_own_does_not_convict() {
    let (mut lines, mut peer) = lines(1024);
    // Polled once, so that a wake-up is due, and then not for an hour.
    assert!(lines.next().now_or_never().is_none());
    advance(Duration::from_secs(3600)).await;
    assert!(lines.next().now_or_never().is_none());
    assert_eq!((lines.missed(), lines.paused()), (0, Duration::from_secs(3590)));
    let mut question = [0; 7];
    peer.read_exact(&mut question).await.unwrap();
    assert_eq!(&question, b"PING 0\n");
    peer.write_all(b"PONG 0\nhello\n").await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap(), "hello");
}

#[tokio::test(start_paused = true)]
async fn both_ends_can_ask_each_other_and_frames_carry_it_as_lines_do() {
    let (one, other) = duplex(1024);
    let beats = |stream| {
        let framed = Framed::new(Watched::new(stream), LengthDelimitedCodec::new());
        let protocol = FrameBeats::new(Bytes::from_static(b"\0?"), Bytes::from_static(b"\0!"));
        Beating::on(framed, protocol, policy(), Clock::Tokio)
    };
    let (mut one, mut other) = (beats(one), beats(other));
    // An hour of nothing but heartbeats on both sides.
    let hour = Duration::from_secs(3600);
    let (quiet, also) = tokio::join!(timeout(hour, one.next()), timeout(hour, other.next()));
    assert!(quiet.is_err() && also.is_err());
    one.send(Bytes::from_static(b"still here")).await.unwrap();
    assert_eq!(other.next().await.unwrap().unwrap(), BytesMut::from(&b"still here"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_and_does_not_read_fills_no_memory() {
    let (mut lines, mut peer) = lines(64);
    for number in 0..1000 {
        peer.write_all(format!("PING {number}\n").as_bytes()).await.unwrap();
        assert!(lines.next().now_or_never().is_none());
    }
    assert!(lines.waiting.len() <= WAITING_MAX);
}

#[test]
fn what_only_looks_like_a_heartbeat_is_a_message() {
    let mut beats = LineBeats::new("PING", "PONG");
    for line in ["PING", "PING x", "PINGS 7", "ping 7", "", "PING 7 8"] {
        assert_eq!(beats.judge(&line.to_owned()), Heard::Message, "{line}");
    }
    let mut beats = FrameBeats::new(&b"?"[..], &b"!"[..]);
    for frame in [&b"?"[..], b"?123", b"?12345", b""] {
        assert_eq!(beats.judge(&BytesMut::from(frame)), Heard::Message, "{frame:?}");
    }
    assert_eq!(beats.judge(&BytesMut::from(&b"!\0\0\0\x07"[..])), Heard::Answer(Some(Beat(7))));
}
