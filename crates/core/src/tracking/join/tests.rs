use proptest::prelude::*;

use super::*;
use crate::trace::{established, ms};

const ESTABLISHED: Option<Duration> = Some(Duration::from_secs(432_000));

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn to(from: &str, to: &str) -> Route {
    Route { from: end(from), to: end(to) }
}

/// A connection that was last active `quiet_s` seconds ago.
fn connection(local: &str, peer: &str, quiet_s: u64) -> Sample {
    let mut seen = established().heard(ms(quiet_s * 1000));
    seen.info_mut().last_data_sent = Some(ms(quiet_s * 1000));
    (seen.sample.endpoints.local, seen.sample.endpoints.peer) = (end(local), end(peer));
    seen.sample
}

/// A flow whose last segment passed `refreshed_s` seconds ago.
fn flow(original: Route, reply: Route, refreshed_s: u64) -> TrackedFlow {
    TrackedFlow {
        original,
        reply,
        state: Some(TrackedState::Established),
        remaining: Some(Duration::from_secs(432_000 - refreshed_s)),
        assured: Some(true),
        offloaded: Some(false),
        zone: None,
    }
}

/// A flow without translation.
fn plain(from: &str, dest: &str, refreshed_s: u64) -> TrackedFlow {
    flow(to(from, dest), to(dest, from), refreshed_s)
}

fn join(samples: &[Sample], flows: &[TrackedFlow]) -> Vec<Tracking> {
    let mut join = TrackingJoin::new(samples, ESTABLISHED);
    flows.iter().for_each(|flow| join.add(flow));
    join.tell()
}

/// The entry of the one connection, which has to have one.
#[track_caller]
fn entry(sample: Sample, flow: &TrackedFlow) -> TrackedEntry {
    let told = join(&[sample], std::slice::from_ref(flow));
    told[0].entry().expect("it has an entry").clone()
}

#[test]
fn a_connection_is_found_by_the_original_route_or_by_the_reply() {
    let flow = plain("10.0.0.1:40000", "10.0.0.7:111", 5);
    let ours = entry(connection("10.0.0.1:40000", "10.0.0.7:111", 5), &flow);
    assert!(!ours.opened_by_peer);
    assert_eq!(ours.translation, None);
    assert_eq!(ours.remaining, Some(Duration::from_secs(431_995)));
    let theirs = entry(connection("10.0.0.7:111", "10.0.0.1:40000", 5), &flow);
    assert!(theirs.opened_by_peer);
    assert_eq!(theirs.translation, None);
}

#[test]
fn both_ends_of_a_loopback_connection_have_the_one_entry() {
    let flow = plain("127.0.0.1:40000", "127.0.0.1:80", 0);
    let ends = [
        connection("127.0.0.1:40000", "127.0.0.1:80", 0),
        connection("127.0.0.1:80", "127.0.0.1:40000", 0),
    ];
    assert!(join(&ends, &[flow]).iter().all(|told| told.entry().is_some()));
}

#[test]
fn a_client_behind_translation_of_both_its_ends_is_found_and_told_what_the_wire_says() {
    let flow = flow(to("10.0.0.1:40000", "10.9.9.9:80"), to("10.0.0.7:8080", "192.0.2.1:51000"), 0);
    let entry = entry(connection("10.0.0.1:40000", "10.9.9.9:80", 0), &flow);
    let outside = Translation { local: end("192.0.2.1:51000"), peer: end("10.0.0.7:8080") };
    assert_eq!(entry.translation.as_deref(), Some(&outside));
}

#[test]
fn a_server_behind_a_redirected_port_is_found_by_the_reply() {
    let flow = flow(to("10.0.0.1:40000", "10.0.0.7:80"), to("10.0.0.7:8080", "10.0.0.1:40000"), 0);
    let entry = entry(connection("10.0.0.7:8080", "10.0.0.1:40000", 0), &flow);
    let outside = Translation { local: end("10.0.0.7:80"), peer: end("10.0.0.1:40000") };
    assert!(entry.opened_by_peer);
    assert_eq!(entry.translation.as_deref(), Some(&outside));
}

#[test]
fn mapped_addresses_are_those_of_the_wire() {
    let flow = plain("10.0.0.1:40000", "10.0.0.7:80", 0);
    entry(connection("[::ffff:10.0.0.7]:80", "[::ffff:10.0.0.1]:40000", 0), &flow);
}

#[test]
fn an_entry_of_the_default_zone_goes_before_one_of_another() {
    let here = plain("10.0.0.1:40000", "10.0.0.7:80", 7);
    let there = TrackedFlow { zone: Some(4), ..plain("10.0.0.1:40000", "10.0.0.7:80", 9) };
    let sample = connection("10.0.0.1:40000", "10.0.0.7:80", 0);
    for flows in [[here.clone(), there.clone()], [there.clone(), here]] {
        let told = join(std::slice::from_ref(&sample), &flows);
        assert_eq!(told[0].entry().unwrap().zone, None);
    }
    assert_eq!(entry(sample, &there).zone, Some(4));
}

/// Two clients of one server, of which one has an entry that was refreshed so long ago.
fn one_of_two_clients_lacks_an_entry(quiet_s: u64, others_refreshed_s: u64) -> Tracking {
    let samples = [
        connection("10.0.0.7:80", "10.0.0.1:40000", quiet_s),
        connection("10.0.0.7:80", "10.0.0.2:50000", others_refreshed_s),
    ];
    let flows = [plain("10.0.0.2:50000", "10.0.0.7:80", others_refreshed_s)];
    join(&samples, &flows).swap_remove(0)
}

#[test]
fn a_server_sees_which_client_tracking_has_forgotten() {
    assert_eq!(one_of_two_clients_lacks_an_entry(600, 3), Tracking::Forgotten { others: 1 });
}

#[test]
fn nothing_is_forgotten_unless_tracking_was_at_work_after_the_last_segment() {
    assert_eq!(one_of_two_clients_lacks_an_entry(3, 3), Tracking::Forgotten { others: 1 });
    assert_eq!(one_of_two_clients_lacks_an_entry(3, 4), Tracking::NotTracked);
}

#[test]
fn a_client_sees_it_by_its_other_connections_to_the_same_service() {
    let samples = [
        connection("10.0.0.1:40000", "10.0.0.7:80", 60),
        connection("10.0.0.1:40002", "10.0.0.7:80", 1),
        connection("10.0.0.1:40004", "10.0.0.7:81", 60),
    ];
    let told = join(&samples, &[plain("10.0.0.1:40002", "10.0.0.7:80", 1)]);
    assert_eq!(told[0], Tracking::Forgotten { others: 1 });
    assert_eq!(told[2], Tracking::NotTracked, "another service may be exempt");
}

#[test]
fn loopback_is_never_forgotten() {
    let samples = [
        connection("127.0.0.1:40000", "127.0.0.1:80", 60),
        connection("127.0.0.1:40002", "127.0.0.1:80", 1),
    ];
    let told = join(&samples, &[plain("127.0.0.1:40002", "127.0.0.1:80", 1)]);
    assert_eq!(told[0], Tracking::NotTracked);
}

#[test]
fn without_other_entries_or_without_the_time_out_nothing_is_forgotten() {
    let samples = [connection("10.0.0.7:80", "10.0.0.1:40000", 60)];
    let elsewhere = plain("10.0.0.2:50000", "10.0.0.9:80", 1);
    assert_eq!(join(&samples, &[elsewhere]), [Tracking::NotTracked]);
    assert_eq!(join(&samples, &[]), [Tracking::NotTracked]);
    let samples = [
        connection("10.0.0.7:80", "10.0.0.1:40000", 600),
        connection("10.0.0.7:80", "10.0.0.2:50000", 3),
    ];
    let mut join = TrackingJoin::new(&samples, None);
    join.add(&plain("10.0.0.2:50000", "10.0.0.7:80", 3));
    assert_eq!(join.tell()[0], Tracking::NotTracked);
}

#[test]
fn what_is_being_opened_or_is_over_is_not_forgotten() {
    for (state, forgotten) in [
        (TcpState::Established, true),
        (TcpState::CloseWait, true),
        (TcpState::FinWait2, true),
        (TcpState::SynSent, false),
        (TcpState::LastAck, false),
        (TcpState::TimeWait, false),
    ] {
        let samples = [
            Sample { state, ..connection("10.0.0.7:80", "10.0.0.1:40000", 60) },
            connection("10.0.0.7:80", "10.0.0.2:50000", 1),
        ];
        let told = join(&samples, &[plain("10.0.0.2:50000", "10.0.0.7:80", 1)]);
        assert_eq!(matches!(told[0], Tracking::Forgotten { .. }), forgotten, "{state}");
    }
}

fn any_end() -> impl Strategy<Value = SocketAddr> {
    // Few addresses and ports, so that connections and flows meet.
    (1..4_u8, 1..4_u16, any::<bool>()).prop_map(|(host, port, mapped)| {
        let v4 = std::net::Ipv4Addr::new(10, 0, 0, host);
        let ip = if mapped { v4.to_ipv6_mapped().into() } else { v4.into() };
        SocketAddr::new(ip, port)
    })
}

fn any_route() -> impl Strategy<Value = Route> {
    (any_end(), any_end()).prop_map(|(from, to)| Route { from, to })
}

proptest! {
    #[test]
    fn every_connection_is_told_and_an_entry_has_its_addresses(
        ends in prop::collection::vec((any_route(), 0..100_u64), 0..12),
        flows in prop::collection::vec((any_route(), any_route(), 0..100_u64), 0..12),
    ) {
        let samples: Vec<_> = ends
            .iter()
            .map(|(ends, quiet_s)| {
                connection(&ends.from.to_string(), &ends.to.to_string(), *quiet_s)
            })
            .collect();
        let flows: Vec<_> =
            flows.into_iter().map(|(there, back, ago)| flow(there, back, ago)).collect();
        let told = join(&samples, &flows);
        prop_assert_eq!(told.len(), samples.len());
        for (sample, told) in samples.iter().zip(told) {
            let ends = route(&sample.endpoints);
            let met = flows.iter().any(|flow| {
                canonical(flow.original) == ends || canonical(flow.reply) == ends
            });
            prop_assert_eq!(told.entry().is_some(), met);
        }
    }
}
