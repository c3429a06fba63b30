//! Owns the way from flags or a file to a plan, with the defaults and their reasons. Starts nothing.

use std::{
    collections::HashSet,
    fs,
    net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    num::NonZero,
    path::Path,
    str::FromStr,
    thread,
    time::Duration,
};

use halfopen_core::{Span, detection::Tick};
use halfopen_relay::{
    Balance, Listen, Liveness, Plan, Service, Termination, UPSTREAMS_MAX, proxy_header::Version,
};

use super::config::{self, Config, ListenTable, TlsTable};
use crate::{
    args::{self, BalanceKey, HeaderKey},
    exit::Failure,
    span::Given,
    toml_file::Text,
};

/// All that the verb was asked to do.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) plan: Plan,
    pub(super) drain_within: Duration,
    pub(super) metrics: Option<SocketAddr>,
}

/// What the flags or the file ask for. Looks names up.
///
/// # Errors
/// [`Failure::Usage`] for what cannot be, [`Failure::System`] for names that cannot be looked up and a
/// file that cannot be read.
pub(super) fn wanted(arguments: &args::Relay) -> Result<Wanted, Failure> {
    let config = match &arguments.config {
        Some(path) => config::read(path)?,
        None => of_flags(arguments)?,
    };
    of_config(&config)
}

fn of_config(config: &Config) -> Result<Wanted, Failure> {
    let services = config.listen.iter().map(|table| service(table, halfopen_sys::tick()));
    let services = services.collect::<Result<Vec<_>, _>>()?;
    refuse_twice(&services)?;
    let count = |number: NonZero<u32>| usize::try_from(number.get()).unwrap_or(usize::MAX);
    Ok(Wanted {
        plan: Plan {
            services,
            workers: config.workers.map_or_else(processors, count),
            max_connections: config.max_connections.map(count),
            max_buffers: config.max_buffers.map_or(MAX_BUFFERS, count),
        },
        drain_within: given(config.drain_within).unwrap_or(DRAIN_WITHIN),
        metrics: config.metrics.map(|Text(address)| address.0),
    })
}

/// The flags, written as the file would have it.
fn of_flags(arguments: &args::Relay) -> Result<Config, Failure> {
    let to = arguments.to.iter().map(|text| text.parse().map(Text).map_err(Failure::Usage));
    let to: Vec<_> = to.collect::<Result<_, _>>()?;
    let finding = &arguments.finding;
    let listen = arguments.listen.iter().map(|text| {
        Ok(ListenTable {
            name: None,
            on: Text(text.parse().map_err(Failure::Usage)?),
            to: to.clone(),
            balance: Text(config::BalanceWord(match arguments.balance {
                BalanceKey::InOrder => Balance::InOrder,
                BalanceKey::RoundRobin => Balance::RoundRobin,
            })),
            proxy_header_in: arguments.proxy_header_in,
            proxy_header_out: arguments.proxy_header_out.map(|key| {
                Text(config::VersionWord(match key {
                    HeaderKey::V1 => Version::V1,
                    HeaderKey::V2 => Version::V2,
                }))
            }),
            tls: arguments
                .tls_certificate
                .clone()
                .zip(arguments.tls_key.clone())
                .map(|(certificate, key)| TlsTable { certificate, key }),
            detect_within: finding.detect_within.map(Text),
            detect_client_within: None,
            detect_upstream_within: None,
            survive_idle: finding.survive_idle.map(Text),
            half_closed_idle: finding.half_closed_idle.map(Text),
            connect_timeout: finding.connect_timeout.map(Text),
            check_every: finding.check_every.map(Text),
        })
    });
    Ok(Config {
        workers: arguments.bounds.workers.and_then(NonZero::new),
        max_connections: arguments.bounds.max_connections.and_then(NonZero::new),
        max_buffers: arguments.bounds.max_buffers.and_then(NonZero::new),
        drain_within: arguments.bounds.drain_within.map(Text),
        metrics: arguments.metrics.map(Text),
        listen: listen.collect::<Result<_, Failure>>()?,
    })
}

/// Nobody can listen twice at one place. A port of 0 is another one each time.
fn refuse_twice(services: &[Service]) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    for service in services {
        let is_any = matches!(service.listen, Listen::On(address) if address.port() == 0);
        if !is_any && !seen.insert(&service.listen) {
            return Err(Failure::Usage(format!(
                "two listeners are on {}; give each its own address, or both upstreams to one of them",
                service.listen
            )));
        }
    }
    Ok(())
}

fn service(table: &ListenTable, tick: Tick) -> Result<Service, Failure> {
    let listen = table.on.0.0.clone();
    let name = table.name.clone().unwrap_or_else(|| listen.to_string());
    let liveness = |own: Option<Text<Given>>| {
        let within = given(own.or(table.detect_within)).unwrap_or(DETECT_WITHIN);
        Liveness::new(within, given(table.survive_idle), tick).map_err(|error| {
            Failure::Usage(format!("{name}: {error}; give more time to detect, or more idle time"))
        })
    };
    let tls = table.tls.as_ref().map(|table| termination(&name, table)).transpose()?;
    let upstreams = table.to.iter().map(|Text(to)| to.looked_up());
    let upstreams = upstreams.collect::<Result<Vec<_>, _>>()?.concat();
    if upstreams.is_empty() || upstreams.len() > UPSTREAMS_MAX {
        return Err(Failure::Usage(format!(
            "{name}: {} upstreams, with names looked up; 1 to {UPSTREAMS_MAX} can be used",
            upstreams.len()
        )));
    }
    let upstream = liveness(table.detect_upstream_within)?;
    // One that died is then out of the way within the objective. Without another one to go to, nobody would
    // gain by knowing.
    let check_every = (upstreams.len() > 1).then_some(upstream.detect_within / 3);
    let no_less = |key: &str, own: Option<Text<Given>>, least: Duration| match given(own) {
        Some(short) if short < least => Err(Failure::Usage(format!(
            "{name}: {key} cannot be {}; give {} or more, or leave it out",
            Span(short),
            Span(least)
        ))),
        any => Ok(any),
    };
    let connect_timeout = no_less("connect-timeout", table.connect_timeout, CONNECT_LEAST)?;
    Ok(Service {
        client: liveness(table.detect_client_within)?,
        upstream,
        check_every: no_less("check-every", table.check_every, CHECK_LEAST)?.or(check_every),
        half_closed_idle: no_less("half-closed-idle", table.half_closed_idle, IDLE_LEAST)?,
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        name: name.into(),
        listen,
        upstreams,
        balance: table.balance.0.0,
        header_in: table.proxy_header_in,
        header_out: table.proxy_header_out.map(|Text(word)| word.0),
        tls,
    })
}

/// Reads the files of a listener's certificate.
fn termination(listener: &str, table: &TlsTable) -> Result<Termination, Failure> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| {
            Failure::System(format!("{listener}: cannot read {}: {error}", path.display()))
        })
    };
    let (chain, key) = (read(&table.certificate)?, read(&table.key)?);
    Termination::from_pem(&chain, &key).map_err(|error| {
        let (certificate, key) = (table.certificate.display(), table.key.display());
        Failure::Usage(format!("{listener}: {certificate} and {key}: {error}"))
    })
}

fn given(text: Option<Text<Given>>) -> Option<Duration> {
    text.map(|Text(given)| given.0)
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Where to listen, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenWish(Listen);

impl FromStr for ListenWish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("systemd:").filter(|name| !name.is_empty()) {
            return Ok(Self(Listen::Inherited(name.to_owned())));
        }
        let any = text.strip_prefix(':').and_then(|port| port.parse().ok());
        let any = any.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        any.or_else(|| text.parse().ok()).map(|address| Self(Listen::On(address))).ok_or_else(|| {
            format!(
                "`{text}` is no address to listen on; write 127.0.0.1:5432, [::1]:5432, :5432 or \
                 systemd:NAME"
            )
        })
    }
}

/// An upstream, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    fn looked_up(&self) -> Result<Vec<SocketAddr>, Failure> {
        let found = (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| {
            Failure::System(format!(
                "`{}` cannot be looked up: {error}; give its address",
                self.host
            ))
        })?;
        let mut addresses = Vec::new();
        for address in found {
            // A name in /etc/hosts twice is one upstream.
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = bare.or_else(|| (!host.contains(':')).then_some(host));
            let host = host.filter(|host| !host.is_empty())?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some(Self { host: host.to_owned(), port })
        });
        parts.ok_or_else(|| {
            format!("`{text}` is no upstream; write HOST:PORT, e.g. db1:5432 or [::1]:5432")
        })
    }
}

/// Long enough for a path that is away while a router restarts a session, short enough for somebody
/// who waits at the other end.
const DETECT_WITHIN: Duration = Duration::from_secs(30);
/// Two lost connection requests (after 1 s and 2 s more) and an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Within none nobody answers.
const CONNECT_LEAST: Duration = Duration::from_millis(1);
/// Each check is a connection that the upstream's log may tell of.
const CHECK_LEAST: Duration = Duration::from_secs(1);
/// Other relays mean "never" by 0; here it would reset every half-closed connection at once.
const IDLE_LEAST: Duration = Duration::from_secs(1);
/// 256 MiB: two thousand connections whose readers are stopped in both directions.
const MAX_BUFFERS: usize = 4096;
/// A third of what systemd gives a service to stop (DefaultTimeoutStopSec of 90 s).
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of docs/relay/relay.example.toml has its default, commented out or not.
    #[test]
    fn the_example_file_is_what_the_defaults_are() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/relay/relay.example.toml");
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/relay/config.md");
        let text = fs::read_to_string(example).unwrap();
        assert!(fs::read_to_string(page).unwrap().contains(&text), "the page shows another");
        let read = |path: &str| {
            let arguments = args::Relay { config: Some(path.into()), ..args::Relay::default() };
            wanted(&arguments).unwrap()
        };
        let flags = args::Relay {
            listen: vec!["127.0.0.1:5432".to_owned()],
            to: vec!["10.0.0.7:5432".to_owned(), "10.0.0.8:5432".to_owned()],
            ..args::Relay::default()
        };
        let mut by_flags = wanted(&flags).unwrap();
        let by_file = read(example);
        by_flags.plan.services[0].name = "postgres".into();
        assert_eq!(by_file.plan, by_flags.plan);
        assert_eq!(by_file.drain_within, by_flags.drain_within);
        assert_eq!(by_file.metrics, by_flags.metrics);
    }

    /// The usage error of a file with these lines in its only listener.
    fn refused(listener: &str, more: &str) -> Option<String> {
        let text =
            format!("[[listen]]\non = \"127.0.0.1:1\"\nto = [\"10.0.0.7:1\"]\n{listener}\n{more}");
        let config: Config = toml::from_str(&text).unwrap();
        match of_config(&config) {
            Ok(_) => None,
            Err(Failure::Usage(sentence)) => Some(sentence),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn no_time_at_all_is_refused_where_it_would_end_everything_or_never_rest() {
        for (key, least) in
            [("half-closed-idle", "1s"), ("check-every", "1s"), ("connect-timeout", "1ms")]
        {
            let told = refused(&format!("{key} = \"0s\""), "").unwrap_or_default();
            let wanted =
                format!("127.0.0.1:1: {key} cannot be 0ms; give {least} or more, or leave it out");
            assert_eq!(told, wanted);
            assert_eq!(refused(&format!("{key} = \"{least}\""), ""), None);
        }
    }

    #[test]
    fn two_listeners_on_one_address_are_refused() {
        let again = |on: &str| format!("[[listen]]\non = \"{on}\"\nto = [\"10.0.0.8:1\"]\n");
        let told = refused("", &again("127.0.0.1:1")).unwrap_or_default();
        assert!(told.starts_with("two listeners are on 127.0.0.1:1; give each"), "{told}");
        assert_eq!(refused("", &again("127.0.0.1:2")), None);
        let any = again("127.0.0.1:0");
        assert_eq!(refused("", &format!("{any}{any}")), None);
    }

    #[test]
    fn addresses_to_listen_on_are_read() {
        let read = |text: &str| text.parse::<ListenWish>().map(|wish| wish.0.to_string());
        assert_eq!(read("127.0.0.1:80").as_deref(), Ok("127.0.0.1:80"));
        assert_eq!(read(":80").as_deref(), Ok("[::]:80"));
        assert_eq!(read("systemd:web").as_deref(), Ok("systemd:web"));
        for text in ["", "80", "localhost:80", ":", "systemd:", "1.2.3.4:70000"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn upstreams_are_read_with_names_and_both_kinds_of_addresses() {
        let read = |text: &str| text.parse::<HostPort>().map(|to| (to.host, to.port));
        assert_eq!(read("db1:5432"), Ok(("db1".to_owned(), 5432)));
        assert_eq!(read("[::1]:1"), Ok(("::1".to_owned(), 1)));
        for text in ["", "db1", ":5432", "::1:5432", "[::1]", "db1:0", "db1:99999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
