//! Owns how what a relay tells is written: one line each, as text or as JSON.

use std::net::SocketAddr;

use halfopen_core::Span;
use halfopen_relay::{Notice, Record, Service};
use serde_json::{Value, json};

/// The line that says where clients can connect.
pub(super) fn listening(service: &Service, address: SocketAddr, as_json: bool) -> String {
    let to: Vec<_> = service.upstreams.iter().map(ToString::to_string).collect();
    let within = service.client.detect_within;
    if as_json {
        let line = json!({
            "event": "listening",
            "listen": address.to_string(),
            "to": to,
            "detect_within_ms": millis(within),
        });
        return line.to_string();
    }
    format!(
        "listening on {address}, to {}; dead peers found within {}",
        to.join(", "),
        Span(within)
    )
}

/// One line for one notice.
pub(super) fn line(notice: &Notice, as_json: bool) -> String {
    if as_json { as_object(notice).to_string() } else { as_text(notice) }
}

fn as_text(notice: &Notice) -> String {
    match notice {
        Notice::Ended(record) => {
            let upstream = record.upstream.map_or("nobody".to_owned(), |to| to.to_string());
            format!(
                "{} -> {upstream}: {}; {} bytes from the client, {} from the upstream, in {}",
                record.client,
                record.ending,
                record.relayed.client,
                record.relayed.upstream,
                Span(record.lasted),
            )
        }
        Notice::TurnedAway { client, cause, .. } => format!("{client} turned away: {cause}"),
        Notice::NotAccepted { service, errno } => {
            format!("{service}: cannot accept: {}", std::io::Error::from_raw_os_error(*errno))
        }
        _ => String::new(),
    }
}

fn as_object(notice: &Notice) -> Value {
    match notice {
        Notice::Ended(record) => ended(record),
        Notice::TurnedAway { service, client, cause } => json!({
            "event": "turned-away",
            "service": &**service,
            "client": client.to_string(),
            "cause": cause.word(),
            "why": cause.to_string(),
        }),
        Notice::NotAccepted { service, errno } => json!({
            "event": "not-accepted",
            "service": &**service,
            "why": std::io::Error::from_raw_os_error(*errno).to_string(),
        }),
        _ => Value::Null,
    }
}

fn ended(record: &Record) -> Value {
    json!({
        "event": "ended",
        "service": &*record.service,
        "client": record.client.to_string(),
        "upstream": record.upstream.map(|to| to.to_string()),
        "ending": record.ending.to_string(),
        "bytes_from_client": record.relayed.client,
        "bytes_from_upstream": record.relayed.upstream,
        "lasted_ms": millis(record.lasted),
    })
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
