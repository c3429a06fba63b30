//! Owns the way from the flags of `relay` to a plan. Starts nothing.

use std::{
    net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    num::NonZero,
    thread,
    time::Duration,
};

use halfopen_relay::{Liveness, Plan, Service};

use crate::{args, exit::Failure};

/// What the flags ask for.
///
/// # Errors
/// [`Failure::Usage`] for what cannot be, [`Failure::System`] for names that cannot be looked up.
pub(crate) fn plan(arguments: &args::Relay) -> Result<Plan, Failure> {
    let finding = &arguments.finding;
    let detect_within = finding.detect_within.map_or(DETECT_WITHIN, |given| given.0);
    let survive_idle = finding.survive_idle.map(|given| given.0);
    let liveness = Liveness::new(detect_within, survive_idle, halfopen_sys::tick())
        .map_err(|error| Failure::Usage(format!("--detect-within, --survive-idle: {error}")))?;
    let upstreams = arguments.to.iter().map(|text| looked_up(text));
    let upstreams: Vec<_> = upstreams.collect::<Result<Vec<_>, _>>()?.concat();
    let services = arguments.listen.iter().map(|text| {
        let listen = listened(text)?;
        Ok(Service {
            name: listen.to_string().into(),
            listen,
            upstreams: upstreams.clone(),
            client: liveness,
            upstream: liveness,
            connect_timeout: finding.connect_timeout.map_or(CONNECT_TIMEOUT, |given| given.0),
            half_closed_idle: finding.half_closed_idle.map(|given| given.0),
        })
    });
    Ok(Plan {
        services: services.collect::<Result<_, Failure>>()?,
        workers: arguments.bounds.workers.unwrap_or_else(processors),
        max_connections: arguments.bounds.max_connections,
    })
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

fn listened(text: &str) -> Result<SocketAddr, Failure> {
    let any = text.strip_prefix(':').and_then(|port| port.parse().ok());
    let any = any.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    any.map_or_else(|| text.parse(), Ok).map_err(|_| {
        Failure::Usage(format!(
            "`{text}` is no address to listen on: write 127.0.0.1:5432, [::1]:5432 or :5432"
        ))
    })
}

fn looked_up(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
        return Err(Failure::Usage(format!(
            "`{text}` is no upstream: write HOST:PORT, e.g. db1:5432, 10.0.0.7:5432 or [::1]:5432"
        )));
    };
    if port.parse::<u16>().is_err() {
        return Err(Failure::Usage(format!("`{port}` is no port: write a number up to 65535")));
    }
    let found = text.to_socket_addrs().map_err(|error| {
        Failure::System(format!("`{host}` cannot be looked up: {error}; give its address"))
    })?;
    Ok(found.collect())
}

/// Long enough for a path that is away while a router restarts a session, short enough for somebody
/// who waits at the other end.
const DETECT_WITHIN: Duration = Duration::from_secs(30);
/// Two lost connection requests and their answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
