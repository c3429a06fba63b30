//! The picture, in both its forms.

use super::*;
use crate::wire::Forgery;

fn frame(ms: u64, from: End, label: &str, fate: Fate, role: Role) -> Event {
    let what = Happening::Frame { from, label: label.to_owned(), fate, role };
    Event { at: Duration::from_millis(ms), what, states: [None; 2] }
}

fn news(ms: u64, from: End, label: &str) -> Event {
    frame(ms, from, label, Fate::Delivered, Role::News)
}

fn beside(ms: u64, what: Happening) -> Event {
    Event { at: Duration::from_millis(ms), what, states: [None; 2] }
}

const CUT: Fate = Fate::Dropped(Loss::Cut);

fn events() -> Vec<Event> {
    let is = |state| Some(State::Is(state));
    let mut events = vec![
        Event { states: [is(TcpState::SynSent), None], ..news(0, End::Left, "SYN seq=0") },
        Event {
            states: [is(TcpState::Established), is(TcpState::SynReceived)],
            ..news(0, End::Right, "SYN ACK seq=0 ack=1")
        },
        Event {
            states: [None, is(TcpState::Established)],
            ..news(0, End::Left, "ACK seq=1 ack=1")
        },
        beside(290, Happening::Beside(End::Left, "user types \"x\"".into())),
    ];
    for probe in 0..6 {
        let (label, answer) = ("keepalive ACK seq=0 ack=1", "ACK seq=1 ack=1");
        let at = 1_000 + 500 * probe;
        events.push(frame(at, End::Left, label, Fate::Delivered, Role::Keepalive));
        let answered = frame(at, End::Right, answer, Fate::Delivered, Role::KeepaliveAnswer);
        events.push(answered);
    }
    events.push(beside(3_594, Happening::Between("cable pulled".into())));
    events.push(Event {
        states: [None, Some(State::Forgotten)],
        ..beside(4_106, Happening::Beside(End::Right, "power off".into()))
    });
    events.push(frame(8_000, End::Left, "PSH ACK seq=1 ack=1 len=3", CUT, Role::News));
    for ms in [8_200, 8_600, 9_400, 11_000, 14_200] {
        events.push(frame(ms, End::Left, "again: ACK seq=1 ack=1 len=3", CUT, Role::Again));
    }
    let unknown = Fate::Dropped(Loss::Forgotten);
    events.push(frame(20_000, End::Right, "FIN ACK seq=1 ack=1", unknown, Role::News));
    events.push(frame(20_001, End::Left, "ACK seq=4 ack=1", unknown, Role::News));
    let made = Fate::Forged(Forgery::ResetInAnswer);
    events.push(frame(20_002, End::Left, "RST seq=4", made, Role::News));
    events.push(Event {
        states: [is(TcpState::Closed), None],
        ..frame(20_002, End::Right, "RST seq=1", made, Role::News)
    });
    events
}

#[test]
fn a_story_with_states_losses_repeats_and_pauses_is_drawn() {
    insta::assert_snapshot!(draw(["client 10.0.0.1", "server 10.0.0.7"], &events()));
}

/// The example in docs/capture.md. Run with HALFOPEN_WRITE_EXAMPLES=1 to write it anew.
#[test]
fn the_same_story_is_drawn_as_svg() {
    let drawn = draw_svg(["client 10.0.0.1", "server 10.0.0.7"], &events());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/sequence.svg");
    if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
        std::fs::write(path, &drawn).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), drawn);
}

/// Events with words that are long, and that are not meant as words.
fn hostile() -> Vec<Event> {
    let long = "a very long word <&\">]]> ".repeat(20) + "\u{1b}[2J\u{0}\u{ffff}";
    let mut events = events();
    events.push(news(20_100, End::Left, &long));
    let unplugged = Fate::Dropped(Loss::Unplugged);
    events.push(frame(20_100, End::Right, &long, unplugged, Role::News));
    for what in [
        Happening::Beside(End::Left, long.clone()),
        Happening::Beside(End::Right, long.clone()),
        Happening::Between(long.clone()),
    ] {
        events.push(beside(21_000, what));
    }
    events
}

#[test]
fn no_line_is_wider_than_the_page_and_lifelines_never_move() {
    let names = "a very long name ".repeat(20);
    for line in draw([&names, &names], &hostile()).lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        if line.chars().nth(22) == Some('|') {
            assert_eq!(line.chars().nth(67), Some('|'), "{line}");
        }
    }
}

#[test]
fn words_never_become_markup_and_every_element_ends() {
    let svg = draw_svg(["<script>", "a & b"], &hostile());
    assert!(!svg.contains("<script") && svg.contains("a &amp; b"));
    assert!(!svg.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{ffff}'));
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("every tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
    // Nothing is fetched from anywhere.
    assert!(!svg.contains("href") && !svg.contains("url(") && !svg.contains("@import"));
}

#[test]
fn no_events_are_a_picture_too() {
    assert_eq!(draw(["a", "b"], &[]).lines().count(), 1);
    assert!(draw_svg(["a", "b"], &[]).ends_with("</svg>\n"));
}
