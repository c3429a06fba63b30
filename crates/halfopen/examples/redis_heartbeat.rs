//! A subscriber of Redis that learns within six seconds that its server is gone, which redis clients do not
//! while nobody publishes: heartbeats are PING, and the answer to one carries no number.
//!
//! `redis-server & cargo run --example redis_heartbeat -- 127.0.0.1:6379 news`

use std::{env, error::Error, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use halfopen::{Beat, Beating, Connect, Heard, HeartbeatPolicy, Protocol, Watched};
use tokio_util::codec::{Framed, LinesCodec};

/// Redis' own PING, as an inline command. A subscriber is answered `*2 $4 pong $0` and an empty line.
struct RedisPing {
    /// Lines of the answer that are still to come.
    rest: u32,
}

impl Protocol<String, String> for RedisPing {
    fn question(&mut self, _: Beat) -> String {
        "PING".to_owned()
    }

    fn judge(&mut self, line: &String) -> Heard<String> {
        if line == "pong" {
            // The length and the text of an empty payload follow.
            self.rest = 2;
            return Heard::Answer(None);
        }
        if self.rest > 0 {
            self.rest -= 1;
            return Heard::Answer(None);
        }
        if line == "+PONG" { Heard::Answer(None) } else { Heard::Message }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "127.0.0.1:6379".to_owned());
    let channel = arguments.next().unwrap_or_else(|| "news".to_owned());
    let stream = Connect::to(server).open().await?;
    let framed = Framed::new(Watched::new(stream), LinesCodec::new());
    let policy = HeartbeatPolicy::detecting_within(Duration::from_secs(6));
    let mut lines = Beating::new(framed, RedisPing { rest: 0 }, policy);
    lines.send(format!("SUBSCRIBE {channel}")).await?;
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => println!("{line}"),
            Err(error) => {
                println!("lost: {error}");
                break;
            }
        }
    }
    Ok(())
}
