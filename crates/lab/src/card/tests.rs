//! One card, in every face.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::forecast::Decides;

const PAGE: &str = include_str!("../../../../docs/json.md");

fn at(millis: u64, what: &str) -> Happened {
    Happened { at: Duration::from_millis(millis), what: what.to_owned() }
}

pub(crate) fn card() -> Card {
    let second = Duration::from_secs;
    let client = SideCard {
        side: Side::Client,
        command: "redis-cli -h $SERVER BLPOP \"q<1>\" 0".to_owned(),
        began: Some("ESTABLISHED, keepalive 15s/5s/3, no TCP_USER_TIMEOUT".to_owned()),
        traffic: Some("nothing in flight, last sent 2s ago, has received nothing".to_owned()),
        predicted: Predicted {
            kind: "within",
            min: Some(second(28)),
            max: Some(second(31)),
            by: Some(By::Timers.words()),
            why: Some("keepalive probes run out".to_owned()),
        },
        if_writing: Some("15m24s: retransmissions run out (tcp_retries2)".to_owned()),
        wire: Some(at(30_010, "its kernel says RST")),
        kernel: Some(at(30_020, "gave up by its own timers (ETIMEDOUT)")),
        application: Some(at(30_030, "exit 1")),
        believes: "nothing".to_owned(),
        as_predicted: Some(true),
        too_late: false,
        again: Some(at(31_000, "a new connection")),
        left: Left::default(),
    };
    let server = SideCard {
        side: Side::Server,
        command: "redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' --appendonly no --daemonize no".to_owned(),
        began: Some("ESTABLISHED, keepalive off, no TCP_USER_TIMEOUT".to_owned()),
        traffic: None,
        predicted: Predicted::of(&Foreseen::Never { why: "no timer runs".to_owned() }, second(0)),
        if_writing: None,
        wire: None,
        kernel: Some(at(1_000, "gone by RST")),
        application: None,
        believes: "ESTABLISHED".to_owned(),
        as_predicted: Some(false),
        too_late: false,
        again: None,
        left: Left { connections: 1, descriptors: Some(2), processes: Some(1) },
    };
    Card {
        scenario: "cable-pulled".to_owned(),
        summary: "The cable is cut.".to_owned(),
        topology: "routed",
        family: "ipv4",
        clock: "real",
        kernel: "6.18.44".to_owned(),
        state: Some("waiting"),
        acts: vec![at(0, "cable 1 drops every frame")],
        sides: vec![client, server],
        messages: Some(Messages { sent: 12, read: 11, lost: 1, doubled: 0 }),
        said: vec![Said {
            at: second(30),
            side: Side::Client,
            line: "<Error>: timed out".to_owned(),
        }],
        expectations: vec![Expectation {
            what: "the client notices within 10s".to_owned(),
            met: Some(false),
            instead: "after 30s".to_owned(),
        }],
        watched: second(31),
        ended: "both sides have noticed",
        late: None,
        picture: Some("<svg/>".to_owned()),
        notes: vec!["something to know".to_owned()],
    }
}

/// The keys of `value` and all below, as paths behind `prefix`.
fn keys(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{prefix}{key}");
        match value {
            Value::Array(items) => {
                items.iter().for_each(|item| keys(&format!("{path}[]."), item, into));
            }
            other => keys(&format!("{path}."), other, into),
        }
        into.insert(path);
    }
}

#[test]
fn every_field_of_a_card_is_documented_and_every_documented_field_is_there() {
    let mut seen = BTreeSet::new();
    keys("cards[].", &serde_json::to_value(card()).unwrap(), &mut seen);
    // What happened looks alike everywhere, and is spelt out at the first.
    let alike = ["kernel.", "application.", "again."].map(|what| format!("sides[].{what}"));
    seen.retain(|path| !alike.iter().any(|alike| path.contains(alike)));
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `cards[].")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(path, _)| format!("cards[].{path}")).collect();
    assert_eq!(seen, documented);
}

#[test]
fn a_card_as_text() {
    let text = text(&card());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_card_as_a_page_escapes_what_programs_say() {
    let page = html(&[card()]);
    assert!(!page.contains("<Error>") && !page.contains("\"q<1>\""));
    insta::assert_snapshot!(page);
}

#[test]
fn a_card_as_json() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&card()).unwrap());
}

#[test]
fn a_measurement_fits_by_time_and_by_cause() {
    let second = Duration::from_secs;
    let within = |by| {
        let within = Interval::between(second(4), second(5));
        Predicted::of(&Foreseen::Within { within, by, why: String::new() }, second(1))
    };
    assert_eq!(within(By::Timers).fits(Some((second(5), By::Timers)), second(60)), Some(true));
    assert_eq!(within(By::Timers).fits(Some((second(5), By::Reset)), second(60)), Some(false));
    assert_eq!(
        within(By::TimersOrReset).fits(Some((second(5), By::Reset)), second(60)),
        Some(true)
    );
    assert_eq!(within(By::FinOrReset).fits(Some((second(5), By::Fin)), second(60)), Some(true));
    let late = second(6) + RESOLUTION;
    assert_eq!(within(By::Timers).fits(Some((late, By::Timers)), second(60)), Some(true));
    let later = late + Duration::from_millis(1);
    assert_eq!(within(By::Timers).fits(Some((later, By::Timers)), second(60)), Some(false));
    assert_eq!(within(By::Timers).fits(None, second(60)), Some(false));
    // Who stops watching before the time has come cannot say that it did not.
    assert_eq!(within(By::Timers).fits(None, second(6)), None);
    let never = Predicted::of(&Foreseen::Never { why: String::new() }, second(0));
    assert_eq!(never.fits(None, second(60)), Some(true));
    assert_eq!(never.fits(Some((second(1), By::Fin)), second(60)), Some(false));
    assert_eq!(Predicted::of(&Foreseen::Fails, second(0)).fits(None, second(60)), None);
    let open = |not_before| {
        let why = String::new();
        Predicted::of(&Foreseen::Open { decides: Decides::Chance, not_before, why }, second(1))
    };
    let early = second(5) - RESOLUTION - Duration::from_millis(1);
    assert_eq!(open(Some(second(4))).fits(Some((early, By::Timers)), second(60)), Some(false));
    assert_eq!(open(Some(second(4))).fits(Some((second(5), By::Timers)), second(60)), Some(true));
    assert_eq!(open(Some(second(4))).fits(Some((second(1), By::Reset)), second(60)), None);
    assert_eq!(open(None).fits(Some((second(9), By::Timers)), second(60)), Some(false));
    assert_eq!(open(None).fits(None, second(60)), None);
}

#[test]
fn an_expectation_is_not_judged_where_it_was_missed_by_no_more_than_the_lab_was_late() {
    let second = Duration::from_secs;
    let met = |noticed, late_ms: Option<u64>| {
        let late = late_ms.map(Duration::from_millis);
        Expectation::to_notice(Side::Client, second(10), noticed, (second(13), late)).met
    };
    let at = |millis| Some(Duration::from_millis(millis));
    assert_eq!(met(at(10_000), None), Some(true));
    assert_eq!(met(at(10_001), None), Some(false));
    // What was seen in time was in time, however late the lab was.
    assert_eq!(met(at(10_000), Some(2_000)), Some(true));
    assert_eq!(met(at(12_000), Some(2_000)), None);
    assert_eq!(met(at(12_001), Some(2_000)), Some(false));
    // Not seen in 13 s.
    assert_eq!(met(None, None), Some(false));
    assert_eq!(met(None, Some(2_999)), Some(false));
    assert_eq!(met(None, Some(3_000)), None);
}

#[test]
fn what_the_lab_came_too_late_to_judge_is_neither_good_nor_bad_and_a_real_miss_is_worse() {
    let mut card = card();
    assert_eq!((card.as_predicted(), card.as_expected()), (Judgement::Bad, Judgement::Bad));
    let server = &mut card.sides[1];
    (server.as_predicted, server.too_late) = (None, true);
    card.expectations[0].met = None;
    assert_eq!((card.as_predicted(), card.as_expected()), (Judgement::TooLate, Judgement::TooLate));
    card.sides[0].as_predicted = Some(false);
    assert_eq!(card.as_predicted(), Judgement::Bad);
    card.sides.iter_mut().for_each(|side| (side.as_predicted, side.too_late) = (None, false));
    card.expectations.clear();
    assert_eq!((card.as_predicted(), card.as_expected()), (Judgement::Good, Judgement::Good));
}
