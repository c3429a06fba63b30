//! Owns how what a relay tells is written: one line each, as text or as JSON (docs/relay/log.md).

use std::{io, net::SocketAddr, time::Duration};

use halfopen_core::Span;
use halfopen_relay::{Ending, Notice, Record, Service};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::render::counted;

/// What is written into the log.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    /// Clients can connect here.
    Listening { service: &'a Service, address: SocketAddr },
    /// Metrics are served here.
    Metrics(SocketAddr),
    /// A new plan is in force.
    Reloaded,
    /// A new plan could not be taken; the old one stays.
    NotReloaded(&'a str),
    /// No client is accepted any more.
    Draining { open: usize, within: Duration },
    /// So many lines were lost, because they could not be written fast enough.
    Lost(u64),
    /// What the relay tells.
    Notice(&'a Notice),
}

/// One line, as text or as JSON.
pub(super) fn line(entry: &Entry<'_>, at: Timestamp, as_json: bool) -> String {
    let at = format!("{at:.3}");
    if !as_json {
        return format!("{at} {}", text(entry));
    }
    let mut object = Map::from_iter([("at".to_owned(), Value::from(at))]);
    if let Value::Object(fields) = fields(entry) {
        object.extend(fields);
    }
    Value::Object(object).to_string()
}

fn text(entry: &Entry<'_>) -> String {
    match entry {
        Entry::Listening { service, address } => format!(
            "{}: listening on {address}, to {}; {}",
            service.name,
            listed(&service.upstreams).join(", "),
            finds(service)
        ),
        Entry::Metrics(address) => format!("metrics at http://{address}/metrics"),
        Entry::Reloaded => "reloaded".to_owned(),
        Entry::NotReloaded(why) => format!("not reloaded, everything is as before: {why}"),
        Entry::Draining { open, within } => format!(
            "draining: nothing more is accepted; {} left, with {} to end",
            counted(*open, "connection is", "connections are"),
            Span(*within)
        ),
        Entry::Lost(count) => {
            let lines = counted(usize::try_from(*count).unwrap_or(usize::MAX), "line", "lines");
            format!("{lines} of this log lost: it is written too slowly")
        }
        Entry::Notice(notice) => told(notice),
    }
}

/// Within which time the dead are found.
fn finds(service: &Service) -> String {
    let (client, upstream) = (service.client.detect_within, service.upstream.detect_within);
    if client == upstream {
        return format!("dead peers are found within {}", Span(client));
    }
    format!(
        "dead clients are found within {}, dead upstreams within {}",
        Span(client),
        Span(upstream)
    )
}

fn told(notice: &Notice) -> String {
    match notice {
        Notice::Ended(record) => format!(
            "{}: {} -> {}: {}; {} B from the client, {} B from the upstream, {}",
            record.service,
            record.client,
            record.upstream.map_or("nobody".to_owned(), |to| to.to_string()),
            record.ending,
            record.relayed.client,
            record.relayed.upstream,
            Span(record.lasted),
        ),
        Notice::TurnedAway { service, client, cause } => {
            format!("{service}: {client} turned away: {cause}")
        }
        Notice::Upstream { upstream, standing } => {
            format!("upstream {upstream} is {}", standing.word())
        }
        Notice::NotAccepted { service, errno } => {
            format!("{service}: cannot accept: {}", io::Error::from_raw_os_error(*errno))
        }
        other => format!("{other:?}"),
    }
}

fn fields(entry: &Entry<'_>) -> Value {
    match entry {
        Entry::Listening { service, address } => json!({
            "event": "listening",
            "service": &*service.name,
            "listen": address.to_string(),
            "to": listed(&service.upstreams),
            "detect_client_within_ms": millis(service.client.detect_within),
            "detect_upstream_within_ms": millis(service.upstream.detect_within),
        }),
        Entry::Metrics(address) => json!({ "event": "metrics", "listen": address.to_string() }),
        Entry::Reloaded => json!({ "event": "reloaded" }),
        Entry::NotReloaded(why) => json!({ "event": "not-reloaded", "why": why }),
        Entry::Draining { open, within } => {
            json!({ "event": "draining", "open": open, "within_ms": millis(*within) })
        }
        Entry::Lost(count) => json!({ "event": "lines-lost", "count": count }),
        Entry::Notice(notice) => notice_fields(notice),
    }
}

fn notice_fields(notice: &Notice) -> Value {
    match notice {
        Notice::Ended(record) => ended(record),
        Notice::TurnedAway { service, client, cause } => json!({
            "event": "turned-away",
            "service": &**service,
            "client": client.to_string(),
            "how": cause.word(),
            "why": cause.to_string(),
        }),
        Notice::Upstream { upstream, standing } => json!({
            "event": "upstream",
            "upstream": upstream.to_string(),
            "standing": standing.word(),
        }),
        Notice::NotAccepted { service, errno } => json!({
            "event": "not-accepted",
            "service": &**service,
            "why": io::Error::from_raw_os_error(*errno).to_string(),
        }),
        other => json!({ "event": "other", "why": format!("{other:?}") }),
    }
}

fn ended(record: &Record) -> Value {
    let (told_by, why) = match &record.ending {
        Ending::Broken { cause, .. } => ("rst", Some(cause.to_string())),
        _ => ("fin", None),
    };
    json!({
        "event": "ended",
        "service": &*record.service,
        "client": record.client.to_string(),
        "upstream": record.upstream.map(|to| to.to_string()),
        "at_side": record.ending.at(),
        "how": record.ending.word(),
        "told_by": told_by,
        "why": why,
        "bytes_from_client": record.relayed.client,
        "bytes_from_upstream": record.relayed.upstream,
        "lasted_ms": millis(record.lasted),
        "detect_client_within_ms": millis(record.detect_within.client),
        "detect_upstream_within_ms": millis(record.detect_within.upstream),
    })
}

fn listed(upstreams: &[SocketAddr]) -> Vec<String> {
    upstreams.iter().map(ToString::to_string).collect()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use halfopen_relay::{Both, Cause, Lost, Side, UpstreamStanding};

    use super::*;

    fn record(ending: Ending) -> Notice {
        Notice::Ended(Record {
            service: "postgres".into(),
            client: "10.0.0.5:40100".parse().unwrap(),
            upstream: "10.0.0.7:5432".parse().ok(),
            ending,
            relayed: Both { client: 1200, upstream: 88_000 },
            lasted: Duration::from_millis(92_500),
            detect_within: Both {
                client: Duration::from_secs(30),
                upstream: Duration::from_secs(10),
            },
        })
    }

    #[test]
    fn every_kind_of_line_as_text_and_as_json() {
        let lost = Lost { unheard: Duration::from_millis(28_300), retransmits: 4, probes: 0 };
        let service: std::sync::Arc<str> = "postgres".into();
        let notices = [
            record(Ending::Finished { first: Side::Client }),
            record(Ending::Broken { side: Some(Side::Upstream), cause: Cause::Reset }),
            record(Ending::Broken { side: Some(Side::Client), cause: Cause::Silent(lost) }),
            record(Ending::Broken { side: Some(Side::Client), cause: Cause::KernelGaveUp }),
            record(Ending::Broken { side: None, cause: Cause::Drained }),
            Notice::TurnedAway {
                service: service.clone(),
                client: "10.0.0.5:40100".parse().unwrap(),
                cause: Cause::TooMany,
            },
            Notice::Upstream {
                upstream: "10.0.0.7:5432".parse().unwrap(),
                standing: UpstreamStanding::Down,
            },
            Notice::NotAccepted { service, errno: 24 },
        ];
        let notices = notices.iter().map(Entry::Notice);
        let own = [
            Entry::Metrics("127.0.0.1:9090".parse().unwrap()),
            Entry::Reloaded,
            Entry::NotReloaded("relay.toml:3: unknown field"),
            Entry::Draining { open: 12, within: Duration::from_secs(30) },
            Entry::Lost(7),
        ];
        let entries: Vec<_> = notices.chain(own).collect();
        let lines = [false, true].map(|as_json| {
            let lines = entries.iter().map(|entry| line(entry, Timestamp::UNIX_EPOCH, as_json));
            lines.map(|line| line + "\n").collect::<String>()
        });
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// docs/examples/relay-log.txt. Run with HALFOPEN_WRITE_EXAMPLES=1 to write it anew.
    #[test]
    fn the_example_in_the_documentation_is_what_is_written() {
        let lost = Lost { unheard: Duration::from_millis(28_300), retransmits: 4, probes: 0 };
        let notices = [
            record(Ending::Finished { first: Side::Client }),
            record(Ending::Broken { side: Some(Side::Upstream), cause: Cause::Reset }),
            record(Ending::Broken { side: Some(Side::Client), cause: Cause::Silent(lost) }),
        ];
        let at: Timestamp = "2026-11-21T23:59:58.250Z".parse().unwrap();
        let lines = [false, true].map(|as_json| {
            let lines = notices.iter().map(|notice| line(&Entry::Notice(notice), at, as_json));
            lines.map(|line| line + "\n").collect::<String>()
        });
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/relay-log.txt");
        if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
            std::fs::write(path, lines.concat()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), lines.concat());
    }
}
