//! The experiment of the book ends as in the book, and its picture and capture tell the same.

use std::time::Duration;

use halfopen_lab::book::{self, Options, Stage};

use crate::requires_lab;

/// Times and what follows from scheduling out of the picture: which lines carry a time, pauses,
/// and ARP, which a busy machine repeats.
fn redacted(ladder: &str) -> String {
    let lines = ladder.lines().skip(1).filter(|line| !line.contains("ARP"));
    let lines = lines.filter(|line| !line.contains(" s ."));
    lines.map(|line| line.chars().skip(9).collect::<String>() + "\n").collect()
}

#[test]
fn the_books_experiment_ends_with_a_reset() {
    requires_lab!("telnet" from "inetutils-telnet", "rpcbind" from "rpcbind");
    let path = std::env::temp_dir().join(format!("halfopen-book-{}.pcapng", std::process::id()));
    let options = Options { capture: Some(path.clone()) };
    let mut stages = Vec::new();
    let report = book::run(&options, &mut |step, lab| {
        assert!(lab.client().unwrap().pid().is_ok(), "{step:?}");
        assert_eq!(lab.server().unwrap().is_on(), step.stage != Stage::PowerOff);
        stages.push(step.stage);
    });
    let report = report.unwrap();
    println!("{}", report.ladder);
    assert_eq!(stages, Stage::ALL);
    assert_eq!(report.silenced, 1);
    assert!(report.reset_after < Duration::from_secs(1));
    let captured = std::fs::read(&path).unwrap().len();
    std::fs::remove_file(&path).unwrap();
    // Eight segments of 54 bytes and more, in blocks of 36 bytes and more.
    assert!(captured > 8 * 90, "{captured}");
    assert_eq!(report.telnet_said.as_deref(), Some("Connection closed by foreign host."));
    insta::assert_snapshot!(redacted(&report.ladder));
}
