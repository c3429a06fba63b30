//! `realm LISTEN TO`: realm_core's TCP relay, its options as they come, keepalive as elsewhere (5 s, 5 s, 3).

use std::{env, io};

use realm_core::{
    endpoint::{BindOpts, ConnectOpts, Endpoint, RemoteAddr},
    tcp::run_tcp,
};

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if words == ["--version"] {
        println!("realm_core {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let slip = |_| io::Error::other("usage: realm LISTEN TO");
    let [listen, to] = words.as_slice() else { return Err(slip(())) };
    let endpoint = Endpoint {
        laddr: listen.parse().map_err(|_| slip(()))?,
        raddr: RemoteAddr::SocketAddr(to.parse().map_err(|_| slip(()))?),
        bind_opts: BindOpts::default(),
        conn_opts: ConnectOpts {
            connect_timeout: 5,
            tcp_keepalive: 5,
            tcp_keepalive_probe: 3,
            ..ConnectOpts::default()
        },
        extra_raddrs: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_tcp(endpoint))
}
