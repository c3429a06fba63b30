//! A deadpool pool that never hands out a connection whose peer is gone: `recycle` asks the kernel, within
//! a bounded time and without a round trip of the protocol. Linux.
//!
//! `cargo run --example pool_deadpool`

use std::{error::Error, time::Duration};

use deadpool::managed::{Manager, Metrics, Pool, RecycleError, RecycleResult};
use halfopen::{Check, Connect, ConnectError};
use tokio::net::{TcpListener, TcpStream};

/// Makes and checks the connections of the pool.
struct Connections(Connect);

impl Manager for Connections {
    type Type = TcpStream;
    type Error = ConnectError;

    async fn create(&self) -> Result<TcpStream, ConnectError> {
        self.0.open().await
    }

    async fn recycle(&self, stream: &mut TcpStream, _: &Metrics) -> RecycleResult<ConnectError> {
        let liveness = Check::default().is_alive(stream).await.map_err(ConnectError::from)?;
        if liveness.is_alive() { Ok(()) } else { Err(RecycleError::message(liveness.to_string())) }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let connect = Connect::to(listener.local_addr()?).detect_within(Duration::from_secs(60));
    let pool: Pool<Connections> = Pool::builder(Connections(connect)).max_size(1).build()?;

    let first = pool.get().await?.local_addr()?;
    let (server, _) = listener.accept().await?;
    let again = pool.get().await?.local_addr()?;
    assert_eq!(first, again, "a connection that lives is used again");

    drop(server);
    let other = pool.get().await?.local_addr()?;
    assert_ne!(first, other, "a connection whose peer has closed is replaced");
    println!("{first} was replaced by {other}");
    Ok(())
}
