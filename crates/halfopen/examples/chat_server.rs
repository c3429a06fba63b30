//! A server of lines that survives its clients, and whose clients survive it. It keeps a log, so that a
//! client that comes back hears how far the server got, and nothing is lost or said twice.
//!
//! `cargo run --example chat_server -- 127.0.0.1:7000 /tmp/chat.log`

use std::{collections::HashMap, env, error::Error, fs, io::Write as _, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use halfopen::{Beating, HeartbeatPolicy, LineBeats, Watched};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tokio_util::codec::{Framed, LinesCodec};

/// What has been said: the last number of each client, and the file that remembers it.
struct Log {
    last: HashMap<String, u64>,
    file: fs::File,
}

impl Log {
    fn open(path: &str) -> Result<Self, Box<dyn Error>> {
        let said = fs::read_to_string(path).unwrap_or_default();
        let mut last = HashMap::new();
        for line in said.lines() {
            if let Some((name, number)) = line.split_once(' ') {
                last.insert(name.to_owned(), number.parse()?);
            }
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { last, file })
    }

    fn last(&self, name: &str) -> u64 {
        self.last.get(name).copied().unwrap_or(0)
    }

    /// Takes the next line of a client; one that it has already is not taken twice.
    fn say(&mut self, name: &str, number: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
        if number == self.last(name) + 1 {
            // In one write, so that nobody who reads along sees half a line.
            self.file.write_all(format!("{name} {number}\n").as_bytes())?;
            self.last.insert(name.to_owned(), number);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let log = arguments.next().unwrap_or_else(|| "/tmp/chat.log".to_owned());
    let log = Arc::new(Mutex::new(Log::open(&log)?));
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {address}");
    loop {
        let (stream, peer) = listener.accept().await?;
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let ended = serve(stream, log).await;
            println!(
                "{peer} ended: {}",
                ended.map_or_else(|error| error.to_string(), |()| "finished".into())
            );
        });
    }
}

async fn serve(
    stream: TcpStream,
    log: Arc<Mutex<Log>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let within = Duration::from_secs(10);
    let framed = Framed::new(watched(stream, within), LinesCodec::new());
    let beats = LineBeats::new("PING", "PONG");
    let mut lines = Beating::new(framed, beats, HeartbeatPolicy::detecting_within(within));
    let mut name = String::new();
    while let Some(line) = lines.next().await {
        let line = line?;
        match line.split_once(' ') {
            Some(("HELLO", who)) => {
                name = who.to_owned();
                let last = log.lock().await.last(&name);
                lines.send(format!("WELCOME {last}")).await?;
            }
            Some(("SAY", number)) => {
                let number = number.parse()?;
                log.lock().await.say(&name, number)?;
                lines.send(format!("ACK {number}")).await?;
            }
            _ => lines.send("WHAT".to_owned()).await?,
        }
    }
    Ok(())
}

/// A write that is parked because the client vanished ends as well.
#[cfg(target_os = "linux")]
fn watched(stream: TcpStream, within: Duration) -> Watched<TcpStream> {
    Watched::new(stream).dead_after(within)
}

#[cfg(not(target_os = "linux"))]
fn watched(stream: TcpStream, _: Duration) -> Watched<TcpStream> {
    Watched::new(stream)
}
