//! A subscriber of Redis that learns within six seconds that its server is gone, which redis clients do not
//! while nobody publishes: heartbeats are PING, and the answer to one carries no number.
//!
//! `redis-server & cargo run --example redis_heartbeat -- 127.0.0.1:6379 news`

use std::{env, error::Error, io, time::Duration};

use bytes::{Buf as _, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use halfopen::{Beat, Beating, Connect, Heard, HeartbeatPolicy, Protocol, Watched};
use tokio_util::codec::{Decoder, Encoder, Framed};

/// The protocol of Redis, as far as a subscriber needs it: arrays and bulk strings become lists of words.
struct Replies;

impl Decoder for Replies {
    type Item = Vec<String>;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Vec<String>>> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut lines = text.split_inclusive("\r\n").take_while(|line| line.ends_with("\r\n"));
        let Some(first) = lines.next() else { return Ok(None) };
        let mut taken = first.len();
        let mut words = Vec::new();
        match first.trim_end().strip_prefix('*').map(str::parse::<usize>) {
            Some(Ok(count)) => {
                while words.len() < count {
                    let Some(line) = lines.next() else { return Ok(None) };
                    taken += line.len();
                    // A length goes before each word; numbers and errors are words themselves.
                    let Some(word) =
                        (if line.starts_with('$') { lines.next() } else { Some(line) })
                    else {
                        return Ok(None);
                    };
                    taken += if line.starts_with('$') { word.len() } else { 0 };
                    words.push(word.trim_end().to_owned());
                }
            }
            _ => words.push(first.trim_end().to_owned()),
        }
        bytes.advance(taken);
        Ok(Some(words))
    }
}

impl Encoder<String> for Replies {
    type Error = io::Error;

    fn encode(&mut self, line: String, bytes: &mut BytesMut) -> io::Result<()> {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Redis' own PING, as an inline command. A subscriber is answered with the words `pong` and nothing.
struct RedisPing;

impl Protocol<Vec<String>, String> for RedisPing {
    fn question(&mut self, _: Beat) -> String {
        "PING".to_owned()
    }

    fn judge(&mut self, words: &Vec<String>) -> Heard<String> {
        match words.first().map(String::as_str) {
            Some("pong" | "+PONG") => Heard::Answer(None),
            _ => Heard::Message,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    let channel = arguments.next().unwrap_or_else(|| "news".to_owned());
    let stream = Connect::to(server).open().await?;
    let framed = Framed::new(Watched::new(stream), Replies);
    let policy = HeartbeatPolicy::detecting_within(Duration::from_secs(6));
    let mut lines = Beating::new(framed, RedisPing, policy);
    lines.send(format!("SUBSCRIBE {channel}")).await?;
    while let Some(line) = lines.next().await {
        match line {
            Ok(words) => println!("{}", words.join(" ")),
            Err(error) => {
                println!("lost: {error}");
                break;
            }
        }
    }
    Ok(())
}
