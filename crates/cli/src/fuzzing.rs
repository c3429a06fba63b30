//! Owns what has to hold for every text on the command line, and for whatever a kernel answers: what
//! is read can be written and reads back, and every answer can be judged and drawn. The targets in
//! `fuzz/` and the tests in `crates/e2e` call it. A broken promise panics.

use std::net::SocketAddr;

use halfopen_core::{
    ConnectionId, Diagnosis, Moment, NetnsId, Observation, OptionsSeen, Owners, Siblings, Sysctls,
    Thresholds, Tracking, detection::Tick,
};
use halfopen_sys::wire::inet_diag;

use crate::{
    render::json::Connection,
    select::{
        EndpointPattern, IdPattern, PortPattern, ProcessPattern, StatePattern, VerdictPattern,
    },
    span::{Given, Short},
    story::{Place, Story},
};

/// Selectors: what is read is written so that it reads back as the same, and chooses alike.
pub fn selectors(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(pattern) = text.parse::<EndpointPattern>() {
        let again: EndpointPattern = pattern.to_string().parse().expect("it was written by us");
        assert_eq!(again, pattern);
        for end in ["10.0.0.7:111", "[::ffff:10.0.0.7]:111", "[2001:db8::1]:443"] {
            let end: SocketAddr = end.parse().expect("it is an address");
            assert_eq!(pattern.matches(end), again.matches(end));
        }
    }
    if let Ok(end) = text.parse::<SocketAddr>()
        && end.port() > 0
        && !text.contains('%')
    {
        let pattern: EndpointPattern = text.parse().expect("an address with a port is a pattern");
        assert!(pattern.matches(end), "{text} does not choose itself");
    }
    if let Ok(ProcessPattern::Command(name)) = text.parse() {
        assert!(text.starts_with(&name) && (1..=15).contains(&name.len()), "{name:?}");
    }
    if let Ok(StatePattern(state)) = text.parse() {
        let again: StatePattern = state.to_string().parse().expect("its own name is a name");
        assert_eq!(again.0, state);
    }
    if let Ok(VerdictPattern(kind)) = text.parse() {
        assert_eq!(kind.word(), text.to_ascii_lowercase());
    }
    if let Ok(PortPattern(port)) = text.parse() {
        assert_ne!(port, 0);
    }
}

/// Connection ids: what is read is written so that it reads back as the same.
pub fn connection_id(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(IdPattern(id)) = text.parse() {
        assert_eq!(id.to_string().parse::<ConnectionId>(), Ok(id));
    }
}

/// Lengths of time: those that are read are written in five characters or so.
pub fn duration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(Given(span)) = text.parse() {
        // The longest that can be given has 213,503,982,334 days.
        let short = Short(span).to_string();
        assert!(short.len() <= 13, "{short}");
        assert!(short.starts_with(|first: char| first.is_ascii_digit()));
    }
}

/// A datagram of sock_diag becomes a picture: every socket in it is judged, told and written as JSON.
pub fn picture(bytes: &[u8]) {
    let taken_at = Moment(std::time::Duration::from_secs(5_000_000));
    let answer = inet_diag::answer(bytes, 1, NetnsId(4_026_531_840), taken_at);
    let place = Place { netns: "fuzz".to_owned(), is_own: false };
    for sample in answer.entries {
        let observation = Observation {
            sample,
            options: OptionsSeen::Unread("nobody was asked".into()),
            sysctls: Sysctls::linux_defaults().into(),
            tick: Tick::from_hz(250),
            owners: Owners::Unseen("nobody was asked".into()),
            listener: None,
            siblings: Siblings::default(),
            tracking: Tracking::NotTracked,
            proof: None,
        };
        let diagnosis = Diagnosis::of(observation, &Thresholds::default());
        assert!(!Story::of(&diagnosis, &place).sections.is_empty());
        let written = serde_json::to_string(&Connection::of(&diagnosis)).expect("it is all text");
        assert!(serde_json::from_str::<serde_json::Value>(&written).is_ok(), "{written}");
    }
}
