//! Every verb on every kind of connection, whatever has become of its peer, over IPv4 and IPv6, as
//! one table: what the program says, and what really happens to the application and the peer.

mod condition;
mod kind;
mod legend;
mod page;
mod stage;
mod truth;
mod verb;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use socket2::Socket;

use self::{
    condition::{Condition, bring_about},
    kind::Kind,
    stage::{Family, Stage},
    truth::Far,
    verb::Verb,
};
use crate::{has_bpf, requires_lab};

/// What was said of one connection, what its application then finds, and what its peer then has.
type Cell = [String; 3];
type Table = BTreeMap<(Verb, Kind, Condition, Family), Cell>;

#[test]
fn what_each_verb_says_of_every_kind_of_connection_is_what_happens() {
    requires_lab!("nft" from "nftables", "conntrack" from "conntrack");
    let has_bpf = has_bpf();
    let jobs: Vec<_> = Verb::ALL
        .into_iter()
        .filter(|verb| has_bpf || *verb != Verb::ProveCrafted)
        .flat_map(|verb| Condition::ALL.map(|condition| (verb, condition)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut cells = Table::new();
        while let Some((verb, condition)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            play(*verb, *condition, &mut cells);
        }
        cells
    };
    let table: Table = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let (page, sections) = page::of(&table);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/matrix.md");
    if has_bpf && std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    for section in sections {
        is_in(&section, &written);
    }
    assert!(!has_bpf || written == page, "docs/matrix.md is not what was played:\n{page}");
}

/// Fails with the lines of `section` that are not in the page, if there are any.
#[track_caller]
fn is_in(section: &str, page: &str) {
    let known: BTreeSet<_> = page.lines().collect();
    let news: Vec<_> = section.lines().filter(|line| !known.contains(line)).collect();
    assert!(page.contains(section), "docs/matrix.md does not have:\n{}", news.join("\n"));
}

/// Labs that stand at the same time: they mostly wait.
const AT_ONCE: usize = 10;

fn play(verb: Verb, condition: Condition, cells: &mut Table) {
    let mut stage = Stage::set(condition);
    bring_about(&mut stage, condition);
    let before = Far::of(&stage);
    let options_before = options(&stage);
    let said = verb.run(&stage);
    let peers = before.since(&stage);
    if verb.is_test() {
        assert_eq!(options(&stage), options_before, "{verb:?} {condition:?}");
        assert_eq!(Far::of(&stage).bytes(), before.bytes(), "{verb:?} {condition:?}");
    }
    let applications = truth::applications(&stage);
    for (actor, cell) in stage.actors.iter().zip(said.into_iter().zip(applications).zip(peers)) {
        let ((said, application), peer) = cell;
        cells.insert((verb, actor.kind, condition, actor.family), [said, application, peer]);
    }
}

/// Everything that a probe may touch, of every socket that is held here.
fn options(stage: &Stage) -> Vec<KeptOptions> {
    let read = |socket: &Socket| KeptOptions {
        reuse_address: socket.reuse_address().unwrap(),
        keepalive: socket.keepalive().unwrap(),
        idle: socket.tcp_keepalive_time().unwrap(),
        interval: socket.tcp_keepalive_interval().unwrap(),
        probes: socket.tcp_keepalive_retries().unwrap(),
        user_timeout: socket.tcp_user_timeout().unwrap(),
    };
    stage.actors.iter().filter_map(|actor| actor.socket.as_ref()).map(read).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct KeptOptions {
    reuse_address: bool,
    keepalive: bool,
    idle: Duration,
    interval: Duration,
    probes: u32,
    user_timeout: Option<Duration>,
}
