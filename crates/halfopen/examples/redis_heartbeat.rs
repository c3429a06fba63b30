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
        let mut rest = &bytes[..];
        let words = reply(&mut rest)?;
        let taken = bytes.len() - rest.len();
        if words.is_some() {
            bytes.advance(taken);
        }
        Ok(words)
    }
}

/// The reply at the beginning of `rest`, which then begins behind it; `None`: not all of it is here yet.
fn reply(rest: &mut &[u8]) -> io::Result<Option<Vec<String>>> {
    let Some(first) = line(rest) else { return Ok(None) };
    let Some(count) = first.strip_prefix('*') else { return Ok(Some(vec![first])) };
    let words: Option<io::Result<_>> =
        (0..length(count)?).map(|_| word(rest).transpose()).collect();
    words.transpose()
}

/// A bulk string is told with its length; numbers and errors are words themselves.
fn word(rest: &mut &[u8]) -> io::Result<Option<String>> {
    let Some(first) = line(rest) else { return Ok(None) };
    let Some(long) = first.strip_prefix('$') else { return Ok(Some(first)) };
    let long = length(long)?;
    let Some((word, behind)) = rest.split_at_checked(long) else { return Ok(None) };
    let Some(behind) = behind.strip_prefix(b"\r\n") else { return Ok(None) };
    *rest = behind;
    Ok(Some(String::from_utf8_lossy(word).into_owned()))
}

fn line(rest: &mut &[u8]) -> Option<String> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let (line, behind) = (rest.get(..end)?, rest.get(end + 2..)?);
    *rest = behind;
    Some(String::from_utf8_lossy(line).into_owned())
}

fn length(digits: &str) -> io::Result<usize> {
    digits.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "redis sent no length"))
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
