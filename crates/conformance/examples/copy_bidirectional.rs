//! A relay as most are written in Rust: tokio's `copy_bidirectional`, nothing added. One of the relays
//! of docs/conformance.md and docs/benchmarks.md: `copy_bidirectional LISTEN TO`.

use std::{env, io};

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};

/// What `copy_bidirectional` takes by itself (tokio/src/io/util/mod.rs, `DEFAULT_BUF_SIZE`).
const BUFFER: usize = 8 * 1024;

fn main() -> io::Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let usage = || io::Error::other("usage: copy_bidirectional LISTEN TO [BUFFER]");
    let [listen, to, rest @ ..] = words.as_slice() else { return Err(usage()) };
    let buffer = match rest {
        [] => BUFFER,
        [bytes, ..] => bytes.parse().map_err(|_| usage())?,
    };
    // One thread, as the other relays of the comparison have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(relay(listen, to, buffer))
}

async fn relay(listen: &str, to: &str, buffer: usize) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        let to = to.to_owned();
        tokio::spawn(async move {
            // A relay that cannot reach its upstream drops the client; what fails meanwhile ends both.
            if let Ok(mut upstream) = TcpStream::connect(to).await {
                let _ = client.set_nodelay(true).and_then(|()| upstream.set_nodelay(true));
                let (a, b) = (buffer, buffer);
                let _ = copy_bidirectional_with_sizes(&mut client, &mut upstream, a, b).await;
            }
        });
    }
}
