use halfopen_core::VerdictKind;

use super::*;
use crate::{fixtures, ls};

fn drawn(picture: &Picture, view: TableView) -> String {
    let mut out = Vec::new();
    ls::write_text(&mut out, picture, view).unwrap();
    String::from_utf8(out).unwrap()
}

const fn page(width: usize) -> TableView {
    TableView { width, paint: Paint::when(false), ids: false, netns: false }
}

#[test]
fn every_verdict_at_60_columns() {
    insta::assert_snapshot!(drawn(&fixtures::picture(), page(60)));
}

#[test]
fn every_verdict_at_80_columns() {
    insta::assert_snapshot!(drawn(&fixtures::picture(), page(80)));
}

#[test]
fn every_verdict_at_120_columns() {
    insta::assert_snapshot!(drawn(&fixtures::picture(), page(120)));
}

#[test]
fn every_verdict_at_200_columns() {
    insta::assert_snapshot!(drawn(&fixtures::picture(), page(200)));
}

#[test]
fn short_addresses_leave_room_for_owner_and_reason_at_80_columns() {
    let mut picture = fixtures::picture();
    picture.connections.retain(|one| words::end(one.observation.sample.endpoints.peer).len() < 16);
    insta::assert_snapshot!(drawn(&picture, page(80)));
}

#[test]
fn ids_and_namespaces_are_columns_when_asked_for() {
    let view = TableView { ids: true, netns: true, ..page(120) };
    insta::assert_snapshot!(drawn(&fixtures::picture(), view));
}

#[test]
fn a_host_without_connections_says_so() {
    let mut picture = fixtures::picture();
    picture.connections.truncate(0);
    picture.listeners.clear();
    insta::assert_snapshot!(drawn(&picture, page(80)));
}

#[test]
fn a_long_table_has_a_line_for_each_connection_in_order_and_fits_the_widest() {
    let all = (1..=700).map(|cookie| {
        let seen = fixtures::observation(cookie << cookie.min(40));
        Diagnosis::of(seen, &halfopen_core::Thresholds::default())
    });
    let picture = fixtures::picture_of(all.collect());
    let mut out = Vec::new();
    write_table(&mut out, &picture, TableView { ids: true, ..page(120) }).unwrap();
    let text = String::from_utf8(out).unwrap();
    let (titles, rows) = text.split_once('\n').unwrap();
    let ids = picture.connections.iter().map(|one| one.observation.sample.id.to_string());
    let (first, verdicts) = (ids.clone().next().unwrap(), titles.find("VERDICT").unwrap());
    let widest = ids.clone().map(|id| id.len()).max().unwrap();
    assert!(first.len() < widest && verdicts == widest + GAP, "{titles}");
    let written: Vec<_> = rows.lines().map(|row| row.split(' ').next().unwrap_or("")).collect();
    assert_eq!(written, ids.collect::<Vec<_>>());
}

#[test]
fn no_line_is_wider_than_the_page() {
    for width in 40..=220 {
        let text = drawn(&fixtures::picture(), TableView { netns: true, ..page(width) });
        for line in text.lines() {
            assert!(super::width(line) <= width, "{width} columns: {line}");
        }
    }
}

#[test]
fn verdict_peer_and_detection_time_are_always_there() {
    for width in 40..=220 {
        let text = drawn(&fixtures::picture(), page(width));
        let titles = text.lines().find(|line| line.starts_with("VERDICT")).unwrap();
        assert!(titles.contains("PEER") && titles.contains("LEARNS"), "{width}: {titles}");
    }
}

#[test]
fn colour_adds_nothing_but_colour() {
    let plain = drawn(&fixtures::picture(), page(100));
    let coloured = drawn(&fixtures::picture(), TableView { paint: Paint::when(true), ..page(100) });
    assert_ne!(plain, coloured);
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn a_process_cannot_write_to_the_terminal_by_its_name() {
    let text = drawn(&fixtures::picture(), page(200));
    assert!(text.contains("evil\\u{1b}[2J"));
    assert!(!text.contains('\x1b'));
}

/// The example in README.md is `docs/examples/ls.txt` (`cargo xtask tidy` compares the two), and that
/// file is what this test draws. Run it with HALFOPEN_WRITE_EXAMPLES=1 to write the file anew.
#[test]
fn the_example_in_the_readme_is_what_ls_prints() {
    let shown = [
        VerdictKind::HalfOpen,
        VerdictKind::Silent,
        VerdictKind::HalfClosed,
        VerdictKind::Quiet,
        VerdictKind::Alive,
    ];
    let mut picture = fixtures::picture();
    picture.connections.retain(|one| {
        let is_short = words::end(one.observation.sample.endpoints.peer).len() < 20;
        is_short && shown.contains(&one.verdict.kind())
    });
    picture.listeners.clear();
    let text = drawn(&picture, page(96));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/ls.txt");
    if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}
