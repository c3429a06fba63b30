//! A bb8 pool that never hands out a connection whose peer is gone: `is_valid` asks the kernel, within a
//! bounded time and without a round trip of the protocol. Linux.
//!
//! `cargo run --example pool_bb8`

use std::{error::Error, io, time::Duration};

use halfopen::{Check, Connect, ConnectError, Liveness};
use tokio::net::{TcpListener, TcpStream};

/// Makes and checks the connections of the pool.
struct Connections(Connect);

impl bb8::ManageConnection for Connections {
    type Connection = TcpStream;
    type Error = ConnectError;

    async fn connect(&self) -> Result<TcpStream, ConnectError> {
        self.0.open().await
    }

    async fn is_valid(&self, stream: &mut TcpStream) -> Result<(), ConnectError> {
        match Check::default().is_alive(stream).await? {
            Liveness::Alive { .. } => Ok(()),
            gone => Err(io::Error::new(io::ErrorKind::NotConnected, gone.to_string()).into()),
        }
    }

    /// Asked when a connection is given back, and must not wait.
    fn has_broken(&self, _: &mut TcpStream) -> bool {
        false
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let connect = Connect::to(listener.local_addr()?).detect_within(Duration::from_secs(60));
    let pool = bb8::Pool::builder().max_size(1).build(Connections(connect)).await?;

    let first = pool.get().await?.local_addr()?;
    let (server, _) = listener.accept().await?;
    let again = pool.get().await?.local_addr()?;
    assert_eq!(first, again, "a connection that lives is used again");

    // The server is gone, and nobody has read the end of the stream.
    drop(server);
    let other = pool.get().await?.local_addr()?;
    assert_ne!(first, other, "a connection whose peer has closed is replaced");
    println!("{first} was replaced by {other}");
    Ok(())
}
