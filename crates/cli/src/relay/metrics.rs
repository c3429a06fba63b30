//! Owns the page /metrics: what a relay counts, in the text of OpenMetrics. Names are
//! `halfopen_relay_*`; labels are words of closed sets, never addresses.
//! Read: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use halfopen_relay::{Gauges, UpstreamStanding};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// Serves the page from a thread that ends with the process; where, is returned.
///
/// # Errors
/// What the kernel answers, e.g. EADDRINUSE.
pub(super) fn serve(address: SocketAddr, gauges: Gauges) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    let mut registry = Registry::with_prefix("halfopen_relay");
    registry.register_collector(Box::new(Page(gauges)));
    thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        for client in listener.incoming() {
            match client {
                // One at a time: whoever asks for metrics asks rarely, and is not waited for long.
                Ok(client) => drop(answer(client, &registry)),
                Err(_) => thread::park_timeout(PATIENCE),
            }
        }
    })?;
    Ok(bound)
}

fn answer(mut client: TcpStream, registry: &Registry) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        match client.read(&mut part)? {
            0 => break,
            length => request.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    let wanted = request.starts_with(b"GET /metrics ") || request.starts_with(b"GET /metrics?");
    let (line, body) = if wanted {
        let mut page = String::new();
        text::encode(&mut page, registry).map_err(io::Error::other)?;
        ("200 OK", page)
    } else {
        ("404 Not Found", "the metrics are at /metrics\n".to_owned())
    };
    let kind = if wanted { OPEN_METRICS } else { "text/plain" };
    write!(
        client,
        "HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// What is read whenever somebody asks.
#[derive(Debug)]
struct Page(Gauges);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let totals = self.0.totals();
        gauge(
            &mut encoder,
            "connections",
            "Pairs of connections that are open",
            self.0.open_pairs(),
        )?;
        gauge(&mut encoder, "connections_max", "The most that there may be", self.0.most_pairs())?;
        let help = "Buffers of 64 KiB that there are, in use or ready";
        gauge(&mut encoder, "buffers", help, self.0.buffers())?;
        gauge(&mut encoder, "buffers_max", "The most that there may be", self.0.most_buffers())?;
        counter(&mut encoder, "accepted", "Clients that were accepted", totals.accepted)?;
        let help = "Clients turned away with RST, for want of a place, a descriptor or a buffer";
        counter(&mut encoder, "turned_away", help, totals.turned_away)?;
        let help = "Lines of the log that were lost because it was not written fast enough";
        counter(&mut encoder, "log_lines_lost", help, self.0.dropped_notices())?;

        let help = "Bytes that were given on, by the side that sent them";
        let mut family =
            encoder.encode_descriptor("relayed_bytes", help, None, MetricType::Counter)?;
        for (from, bytes) in
            [("client", totals.relayed.client), ("upstream", totals.relayed.upstream)]
        {
            let labels = [("from", from)];
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(bytes).encode(metric)?;
        }

        let help = "Pairs that ended: where that was decided, and how";
        let mut family = encoder.encode_descriptor("ended", help, None, MetricType::Counter)?;
        for ((at, how), count) in totals.ended {
            let labels = [("at", at), ("how", how)];
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(count).encode(metric)?;
        }

        let help = "Checks of upstreams, by what came of them";
        let mut family = encoder.encode_descriptor("checks", help, None, MetricType::Counter)?;
        let checks = [("let-in", self.0.checks_let_in()), ("kept-out", self.0.checks_kept_out())];
        for (outcome, count) in checks {
            let labels = [("outcome", outcome)];
            let metric = family.encode_family(&labels)?;
            ConstCounter::new(count).encode(metric)?;
        }

        let help = "Upstreams, by how they stand";
        let mut family = encoder.encode_descriptor("upstreams", help, None, MetricType::Gauge)?;
        let upstreams = self.0.upstreams();
        for standing in [UpstreamStanding::Up, UpstreamStanding::Suspect, UpstreamStanding::Down] {
            let count = upstreams.iter().filter(|(_, found)| *found == standing).count();
            let labels = [("standing", standing.word())];
            let metric = family.encode_family(&labels)?;
            ConstGauge::new(signed(count)).encode(metric)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    what: &str,
    help: &str,
    value: usize,
) -> Result<(), fmt::Error> {
    let metric = encoder.encode_descriptor(what, help, None, MetricType::Gauge)?;
    ConstGauge::new(signed(value)).encode(metric)
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    what: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let metric = encoder.encode_descriptor(what, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Longer requests are none for metrics.
const REQUEST_MAX: usize = 8192;
/// A scraper sends its request at once.
const PATIENCE: Duration = Duration::from_secs(2);
