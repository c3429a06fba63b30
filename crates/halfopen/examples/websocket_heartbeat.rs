//! Heartbeats of a WebSocket: PING and PONG of RFC 6455, section 5.5.2, over any stream. Here both ends
//! are in one program, and the server stops answering after a while.
//!
//! `cargo run --example websocket_heartbeat`

use std::{error::Error, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use halfopen::{Beat, Beating, Heard, HeartbeatPolicy, Protocol, Watched};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{accept_async, client_async, tungstenite::Message};

/// The protocol's own control frames, numbered in their payload.
struct WebSocketPing;

impl Protocol<Message, Message> for WebSocketPing {
    fn question(&mut self, Beat(number): Beat) -> Message {
        Message::Ping(number.to_be_bytes().to_vec().into())
    }

    fn judge(&mut self, message: &Message) -> Heard<Message> {
        match message {
            Message::Pong(payload) => {
                let number = payload.as_ref().try_into().ok().map(u32::from_be_bytes);
                Heard::Answer(number.map(Beat))
            }
            // The library answers the peer's PING by itself, with the next thing that is sent.
            _ => Heard::Message,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.ok()?;
        let mut socket = accept_async(stream).await.ok()?;
        socket.send(Message::text("hello")).await.ok()?;
        // Reading answers PINGs; after two of them this server stands still, and keeps its socket.
        let mut pings = 0;
        while pings < 2 {
            pings += u32::from(matches!(socket.next().await?, Ok(Message::Ping(_))));
            socket.flush().await.ok()?;
        }
        Some(socket)
    });

    let stream = Watched::new(TcpStream::connect(address).await?);
    let watch = stream.watch();
    let (socket, _) = client_async(format!("ws://{address}/"), stream).await?;
    let policy = HeartbeatPolicy::detecting_within(Duration::from_secs(2));
    let mut messages = Beating::over(socket, WebSocketPing, policy).declaring(watch);
    while let Some(message) = messages.next().await {
        match message {
            Ok(message) => println!("{message}"),
            Err(error) => println!("lost: {error}"),
        }
    }
    drop(server.await?);
    Ok(())
}
