//! What is expected, by fault and side.

use halfopen_core::detection::{AppTold, Assumptions, Cause, NeverBecause, PeerTold, Prediction};

use super::*;
use crate::fault::{CATALOGUE, Place, SynCookies};

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

fn expected(fault: &Fault, side: Side, keepalive: bool, busy: bool) -> Foreseen {
    let learns = learns(keepalive);
    forecast(fault, side, Known { learns: Some(&learns), busy, since: Duration::ZERO })
}

fn words(foreseen: &Foreseen) -> String {
    match foreseen {
        Foreseen::Within { within, by, .. } => format!("{within} by {}", by.words()),
        Foreseen::Never { .. } => "never".to_owned(),
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
    assert!(matches!(expected(&cut, Side::Client, true, false), Foreseen::Unknown { .. }));
}

#[test]
fn a_flood_keeps_out_whom_no_cookie_lets_in() {
    let flood = |cookies| Fault::SynFlood { rate: 400, cookies, backlog: 16 };
    let waiting = DetectionTime { now: Some(within(7, 8, Cause::Syn)), ..learns(false) };
    let told = |cookies, learns: &DetectionTime| {
        let known = Known { learns: Some(learns), busy: true, since: Duration::ZERO };
        words(&forecast(&flood(cookies), Side::Client, known))
    };
    assert_eq!(told(SynCookies::Off, &waiting), "7s..8s by own timers");
    // It came before the queue was full.
    assert_eq!(told(SynCookies::Off, &learns(false)), "unknown");
    assert_eq!(told(SynCookies::WhenFull, &waiting), "never");
    assert_eq!(told(SynCookies::Always, &learns(false)), "never");
}

#[test]
fn what_was_read_late_counts_from_there() {
    let learns = learns(true);
    let known = Known { learns: Some(&learns), busy: false, since: Duration::from_secs(2) };
    let cut = Fault::Suspend { side: Side::Server, lasts: Duration::from_secs(7) };
    // Seven seconds from the fault are five from the look, and the timers need five at most.
    assert!(matches!(forecast(&cut, Side::Client, known), Foreseen::Within { .. }));
}
