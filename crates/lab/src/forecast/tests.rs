//! What is expected, by fault and side.

use halfopen_core::detection::{AppTold, Assumptions, NeverBecause, PeerTold};

use super::*;
use crate::{
    fault::{CATALOGUE, Place},
    scenario::Scenario,
};

fn within(min: u64, max: u64, cause: Cause) -> Learns {
    Learns::Within(Prediction {
        within: Interval::between(Duration::from_secs(min), Duration::from_secs(max)),
        cause,
        application: AppTold::TimedOut,
        peer: PeerTold::Nothing,
        assumes: Assumptions::NONE,
    })
}

fn learns(keepalive: bool) -> DetectionTime {
    DetectionTime {
        idle: if keepalive {
            within(4, 5, Cause::Keepalive)
        } else {
            Learns::Never(NeverBecause::KeepaliveOff)
        },
        busy: within(13, 14, Cause::Retransmission),
        now: None,
    }
}

/// Keepalive that ends in four seconds.
const KEEPALIVE: KeepaliveTimes =
    KeepaliveTimes { idle: Duration::from_secs(1), interval: Duration::from_secs(1), probes: 3 };

fn seen(learns: &DetectionTime) -> Seen<'_> {
    let keepalive = learns.idle.within().map(|_| KEEPALIVE);
    Seen { learns, keepalive, tick: Tick::from_hz(250), ago: Duration::ZERO }
}

fn expected(fault: &Fault, side: Side, keepalive: bool, busy: bool) -> Foreseen {
    let learns = learns(keepalive);
    let (own, peer) = (Some(seen(&learns)), Some(seen(&learns)));
    let pause = busy.then_some(Duration::from_millis(100));
    forecast(fault, side, Known { own, peer, busy, pause, ..Known::default() })
}

fn words(foreseen: &Foreseen) -> String {
    match foreseen {
        Foreseen::Within { within, by, .. } => format!("{within} by {}", by.words()),
        Foreseen::Never { .. } => "never".to_owned(),
        Foreseen::Open { decides, not_before: Some(at), .. } => {
            format!("{}, from {}", decides.words(), halfopen_core::Span(*at))
        }
        Foreseen::Open { decides, .. } => decides.words().to_owned(),
        Foreseen::Unknown { .. } => "unknown".to_owned(),
        Foreseen::Fails => "fails".to_owned(),
    }
}

#[test]
fn the_whole_catalogue_by_side_and_state() {
    let mut table = format!(
        "{:<16}{:<8}{:<28}{:<28}{}\n",
        "fault", "side", "idle", "idle, keepalive", "writing"
    );
    for entry in CATALOGUE {
        let fault = Fault::plain(entry.name).unwrap();
        for side in Side::BOTH {
            let told = |keepalive, busy| words(&expected(&fault, side, keepalive, busy));
            table += &format!(
                "{:<16}{:<8}{:<28}{:<28}{}\n",
                entry.name,
                side.word(),
                told(false, false),
                told(true, false),
                told(true, true)
            );
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_fault_that_heals_in_time_is_never_noticed() {
    let cut = |secs| Fault::Cut {
        place: Place::Middle,
        carrier: true,
        direction: Direction::Both,
        lasts: Some(Duration::from_secs(secs)),
    };
    assert!(matches!(expected(&cut(3), Side::Client, true, false), Foreseen::Never { .. }));
    assert!(matches!(expected(&cut(6), Side::Client, true, false), Foreseen::Within { .. }));
    // Between its earliest and its latest end, both can happen.
    let cut = Fault::Cut {
        place: Place::Middle,
        carrier: true,
        direction: Direction::Both,
        lasts: Some(Duration::from_millis(4500)),
    };
    assert!(matches!(
        expected(&cut, Side::Client, true, false),
        Foreseen::Open { decides: Decides::AMoment, .. }
    ));
}

#[test]
fn what_was_read_late_counts_from_there() {
    let learns = learns(true);
    let since = Duration::from_secs(2);
    let known = Known { own: Some(seen(&learns)), since, ..Known::default() };
    let cut = Fault::Suspend { side: Side::Server, lasts: Duration::from_secs(7) };
    // Seven seconds from the fault are five from the look, and the timers need five at most.
    assert!(matches!(forecast(&cut, Side::Client, known), Foreseen::Within { .. }));
}

fn step(parameters: &str) -> Fault {
    let text = format!("[[at]]\nwhen = \"1s after established\"\n{parameters}\n");
    Scenario::read("a.toml", &text, &[]).unwrap().steps.remove(0).fault
}

#[test]
fn what_becomes_of_an_idle_connection_behind_a_box_depends_on_who_refreshes_it() {
    let boxes = [
        "",
        "forgets_after = \"500ms\"",
        "forgets_after = \"5s\"",
        "forgets_after = \"1100ms\"",
        "forgets_after = \"500ms\"\nthen = \"rst\"",
        "forgets_after = \"500ms\"\nthen = \"rst-inside\"",
        "forgets_after = \"500ms\"\nthen = \"rst-both\"",
        "forgets_after = \"500ms\"\nthen = \"pick-up\"",
        "forgets_after = \"500ms\"\nthen = \"pick-up-or-rst\"",
        "forgets_after = \"5s\"\nkeepalives = \"ignore\"",
        "forgets_after = \"5s\"\nrefresh = \"data\"",
        "keepalives = \"drop\"",
        "keepalives = \"answer\"",
    ];
    let mut table = String::new();
    for parameters in boxes {
        let fault = step(&format!("fault = \"middlebox\"\n{parameters}"));
        table += &format!("{}\n", if parameters.is_empty() { "plain" } else { parameters });
        for (keepalive, busy, state) in
            [(false, false, "no keepalive"), (true, false, "keepalive"), (true, true, "writing")]
        {
            let told = |side| words(&expected(&fault, side, keepalive, busy));
            let (client, server) = (told(Side::Client), told(Side::Server));
            table += &format!("    {state:<14}client {client:<34}server {server}\n");
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_link_that_comes_and_goes_is_noticed_only_if_it_is_gone_for_longer_than_the_timers_take() {
    let flap = |down: &str, up: &str, times: u32| {
        let text = format!("fault = \"flap\"\ndown = \"{down}\"\nup = \"{up}\"\ntimes = {times}");
        words(&expected(&step(&text), Side::Client, true, false))
    };
    assert_eq!(flap("500ms", "1500ms", 5), "never", "a probe falls into each whole time");
    assert_eq!(flap("3s", "1s", 1), "never", "whole again before the timers run out");
    assert_eq!(flap("6s", "1s", 2), "4s..5s by own timers");
    assert_eq!(flap("3s", "500ms", 5), "chance, from 4s");
}

#[test]
fn a_forgetful_router_is_as_its_filter_is() {
    let learns = learns(true);
    let told = |filter| {
        let router = Router { filter, ..Router::default() };
        let (own, peer) = (Some(seen(&learns)), Some(seen(&learns)));
        words(&forecast(
            &Fault::Forget,
            Side::Client,
            Known { own, peer, router, ..Known::default() },
        ))
    };
    assert_eq!(told(Filter::Drop), "4s..5s by own timers");
    assert_eq!(told(Filter::Reset), "0ms..5s by own timers or RST");
    assert_eq!(told(Filter::None), "who speaks first, from 4s");
}

#[test]
fn the_orphan_of_a_lost_fin_answers_until_it_is_given_up() {
    let client = learns(true);
    let orphan = DetectionTime { now: Some(within(3, 4, Cause::Orphan)), ..learns(true) };
    let fault = Fault::FinLost { side: Side::Server };
    let known = |peer| Known { own: Some(seen(&client)), peer: Some(peer), ..Known::default() };
    let Foreseen::Within { within, by: By::Reset, .. } =
        forecast(&fault, Side::Client, known(seen(&orphan)))
    else {
        panic!("it is told by RST");
    };
    assert!(within.min() == Duration::from_secs(3) && within.max() > Duration::from_secs(5));
    // While the other program has not ended there is no orphan yet.
    let open = forecast(&fault, Side::Client, known(seen(&client)));
    assert!(matches!(open, Foreseen::Open { decides: Decides::Programs, .. }));
}

#[test]
fn a_box_that_forgets_a_half_closed_flow_sooner_than_probes_come_silences_it() {
    let learns = learns(true);
    let own = Some(seen(&learns));
    let behind = |half_closed_after: u64, then| {
        let half_closed_after = Some(Duration::from_millis(half_closed_after));
        let middlebox = Middlebox { half_closed_after, then, ..Middlebox::default() };
        let known = Known { own, peer: own, middlebox: Some(&middlebox), ..Known::default() };
        let fault = Fault::HalfClose { side: Side::Client };
        Side::BOTH.map(|side| words(&forecast(&fault, side, known)))
    };
    let [client, server] = behind(500, Then::Drop);
    assert_eq!((client.as_str(), server.as_str()), ("4s..5.5s by own timers", "0ms..1s by FIN"));
    let [client, _] = behind(500, Then::RstOnPacket);
    assert_eq!(client, "500ms..5.5s by own timers or RST");
    let [client, _] = behind(5_000, Then::Drop);
    assert_eq!(client, "never");
    // A box that treats half-closed flows like others changes nothing.
    assert_eq!(
        words(&expected(&Fault::HalfClose { side: Side::Client }, Side::Client, true, false)),
        "never"
    );
}

#[test]
fn a_syn_that_comes_again_tells_nothing_unless_its_host_has_forgotten() {
    let known = Known::default();
    let client = |known| words(&forecast(&Fault::SynRepeated, Side::Client, known));
    assert_eq!(client(known), "never");
    assert_eq!(client(Known { peer_has_forgotten: true, ..known }), "0ms..1s by RST");
}
