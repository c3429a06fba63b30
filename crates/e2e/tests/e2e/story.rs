//! `why`, for verdicts and for connections that are there or not.

use crate::{json, says};

#[test]
fn every_verdict_has_a_page_that_fits_a_terminal() {
    for verdict in [
        "half-open",
        "silent",
        "straining",
        "blocked",
        "half-closed",
        "embryonic",
        "orphaned",
        "unknown",
        "closing",
        "quiet",
        "alive",
    ] {
        let (text, code) = says(&["why", verdict]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(verdict), "{text}");
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{verdict}: {longest:?} columns");
    }
}

#[test]
fn a_connection_that_is_not_there_exits_four_and_says_what_its_namespace_has_counted() {
    let own = json(&["ls", "--json"])["namespaces"][0]["id"].to_string();
    let (text, code) = says(&["why", &format!("deadbeefdead@{own}")]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("no such connection"), "{text}");
    assert!(text.contains("EstabResets"), "{text}");
}
