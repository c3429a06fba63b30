//! A client that says a number every fifth of a second, notices within three seconds when its server is
//! gone, whatever took it, comes back when it can, and says again what was not acknowledged.
//!
//! `cargo run --example chat_client -- 127.0.0.1:7000 alice`

use std::{env, error::Error, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use halfopen::{
    Beating, BeatingError, Connect, EndedBy, HeartbeatPolicy, LineBeats, ReconnectPolicy,
    Reconnecting, Watched, Why as _,
};
use tokio::{
    net::TcpStream,
    time::{Instant, interval},
};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// From the death of the server to its notice.
const WITHIN: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_millis(200);

type Lines = Beating<Framed<Watched<TcpStream>, LinesCodec>, LineBeats, String>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let name = arguments.next().unwrap_or_else(|| "alice".to_owned());
    let connect = Connect::to(server).timeout(WITHIN);
    let policy = ReconnectPolicy { cap: Duration::from_secs(1), ..ReconnectPolicy::default() };
    let mut client = Reconnecting::new(policy, move || {
        let connect = connect.clone();
        async move { connect.open().await }
    })
    .local_address(|stream: &TcpStream| stream.local_addr().ok().map(|local| local.ip()));
    let mut talk = Talk { name, said: 0 };
    loop {
        let stream = client.up().await?;
        println!("up");
        let error = talk.over(stream).await;
        println!("lost: {error}");
        client.lost(ended_by(&error), None);
        println!("diagnosis: {}", client.diagnosis());
    }
}

struct Talk {
    name: String,
    /// The last number that was made up; the server knows how many of them it has.
    said: u64,
}

impl Talk {
    /// Talks until the connection ends, and says how.
    async fn over(&mut self, stream: TcpStream) -> BeatingError<LinesCodecError> {
        let framed = Framed::new(watched(stream), LinesCodec::new());
        let beats = LineBeats::new("PING", "PONG");
        let mut lines = Beating::new(framed, beats, HeartbeatPolicy::detecting_within(WITHIN));
        match self.talk(&mut lines).await {
            Err(error) => error,
            Ok(()) => BeatingError::Transport(
                std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into(),
            ),
        }
    }

    async fn talk(&mut self, lines: &mut Lines) -> Result<(), BeatingError<LinesCodecError>> {
        lines.send(format!("HELLO {}", self.name)).await?;
        let mut ticks = interval(EVERY);
        // Only after its welcome is it known how far the server got.
        let mut is_welcome = false;
        let began = Instant::now();
        loop {
            tokio::select! {
                line = lines.next() => {
                    let Some(line) = line else { return Ok(()) };
                    let line = line?;
                    match line.split_once(' ') {
                        Some(("WELCOME", last)) => {
                            println!("welcome after {} ms", began.elapsed().as_millis());
                            is_welcome = true;
                            let last: u64 = last.parse().unwrap_or(0);
                            for number in last + 1..=self.said {
                                lines.send(format!("SAY {number}")).await?;
                            }
                        }
                        Some(("ACK", number)) => println!("acknowledged {number}"),
                        _ => println!("the server says: {line}"),
                    }
                }
                _ = ticks.tick(), if is_welcome => {
                    self.said += 1;
                    lines.send(format!("SAY {}", self.said)).await?;
                }
            }
        }
    }
}

fn ended_by(error: &BeatingError<LinesCodecError>) -> EndedBy {
    match error {
        BeatingError::Dead(dead) => dead.ended_by(),
        BeatingError::Transport(LinesCodecError::Io(error)) => error.ended_by(),
        _ => EndedBy::Other,
    }
}

#[cfg(target_os = "linux")]
fn watched(stream: TcpStream) -> Watched<TcpStream> {
    Watched::new(stream).dead_after(WITHIN)
}

#[cfg(not(target_os = "linux"))]
fn watched(stream: TcpStream) -> Watched<TcpStream> {
    Watched::new(stream)
}
