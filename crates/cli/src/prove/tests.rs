use std::time::Duration;

use clap::Parser as _;
use halfopen_core::{Owners, Proof, Thresholds, proving::Outcome};

use super::*;
use crate::{
    args::{Arguments, Verb},
    fixtures,
    render::Paint,
};

fn arguments(line: &str) -> Prove {
    let words = ["halfopen", "prove"].into_iter().chain(line.split_whitespace());
    match Arguments::try_parse_from(words).unwrap().verb {
        Some(Verb::Prove(prove)) => prove,
        _ => panic!("{line} is no prove"),
    }
}

#[test]
fn without_a_selector_the_whole_host_is_not_tested() {
    for line in ["", "-A", "--loopback"] {
        assert!(!Selection::new(&arguments(line).selectors).chooses(), "{line}");
        let refused = run(&arguments(line), &mut Vec::new()).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("--all"), "{refused}");
    }
    for line in ["--peer 10.0.0.7", "--idle-over 1h", "--netns blue", "--id 1f@4026531840"] {
        assert!(Selection::new(&arguments(line).selectors).chooses(), "{line}");
    }
}

#[test]
fn probes_may_not_be_closer_than_a_peer_answers() {
    assert!(patience(&arguments("--interval 999ms").probing).is_err());
    let slow = patience(&arguments("--interval 2s --probes 3").probing).unwrap();
    assert_eq!((slow.probes(), slow.interval().as_secs()), (3, 2));
    assert_eq!(patience(&arguments("").probing).unwrap(), Patience::default());
}

#[test]
fn every_method_has_the_same_word_on_the_command_line_and_in_the_answer() {
    for one in Method::ALL {
        let arguments = arguments(&format!("--method {one}"));
        assert_eq!(forced(&arguments.probing), Some(one));
    }
}

/// The connections of a client that hangs: to a host that works, to one that was rebooted, to one
/// that is gone, and one that has something in flight.
fn session() -> Vec<Proved> {
    let case = |cookie: u64, local: &str, peer: &str| {
        let mut observation = fixtures::observation(cookie);
        observation.sample.endpoints.local = local.parse().unwrap();
        observation.sample.endpoints.peer = peer.parse().unwrap();
        let before = Diagnosis::of(observation, &Thresholds::default());
        Case { target: None, plan: Plan::Heard, before }
    };
    let (window, rtt) = (Method::WindowProbe, Duration::from_micros(430));
    let answered = Outcome::Proved(Proof::Answered { rtt });
    let reset = Outcome::Proved(Proof::Reset { ago: Duration::from_millis(1) });
    let unanswered = Proof::Unanswered { probes: 15, apart: Duration::from_secs(1) };
    vec![
        Proved::tested(case(1, "10.0.0.1:53124", "10.0.0.7:5432"), window, 1, answered),
        Proved::tested(case(2, "10.0.0.1:53126", "10.0.0.8:5432"), window, 1, reset),
        Proved::unprovable(case(3, "10.0.0.1:53130", "10.0.0.9:5432"), Unprovable::InRepair),
        Proved::tested(
            case(4, "10.0.0.1:53128", "10.0.0.9:5432"),
            window,
            15,
            Outcome::Proved(unanswered),
        ),
    ]
}

fn picture() -> Picture {
    let mut picture = fixtures::picture();
    picture.connections.truncate(0);
    picture.unseen.clear();
    picture.hidden.loopback = 0;
    picture
}

#[test]
fn each_answer_stands_on_its_line_with_method_and_idle_time() {
    let mut text = Vec::new();
    let proved: Vec<_> =
        session().into_iter().filter(|one| one.answer != Answer::Unprovable).collect();
    for one in &proved {
        write_proved(&mut text, one, Paint::when(false)).unwrap();
    }
    write_proved_sum(&mut text, &picture(), &proved, 80).unwrap();
    insta::assert_snapshot!(String::from_utf8(text).unwrap());
}

#[test]
fn a_proof_is_judged_with_the_idle_time_of_before() {
    let proved = session();
    let answers: Vec<_> = proved.iter().map(|one| one.answer).collect();
    use Answer::{Alive, HalfOpen, Silent, Unprovable};
    assert_eq!(answers, [Alive, HalfOpen, Unprovable, Silent]);
    for one in &proved {
        let heard = one.diagnosis.observation.sample.last_heard();
        assert_eq!(heard, Some(Duration::from_secs(600)));
    }
}

#[test]
fn two_unanswered_probes_convict_nobody() {
    let case = || {
        let before = Diagnosis::of(fixtures::observation(1), &Thresholds::default());
        Case { target: None, plan: Plan::Heard, before }
    };
    let answer = |probes| {
        let proof = Proof::Unanswered { probes, apart: Duration::from_secs(1) };
        Proved::tested(case(), Method::WindowProbe, probes, Outcome::Proved(proof)).answer
    };
    assert_eq!((answer(2), answer(3)), (Answer::Undecided, Answer::Silent));
}

#[test]
fn the_exit_code_is_of_the_worst_answer_and_of_missing_privilege_only_if_nothing_else_was_missing()
{
    let mut proved = session();
    assert_eq!(ends_with(&proved).unwrap(), Exit::Problem);
    proved.retain(|one| !one.answer.is_dead());
    assert_eq!(ends_with(&proved).unwrap(), Exit::Fine);
    let before = Diagnosis::of(fixtures::observation(9), &Thresholds::default());
    let case = Case { target: None, plan: Plan::Heard, before };
    let refused = [Proved::unprovable(case, Unprovable::NoPrivilege)];
    assert_eq!(ends_with(&refused).unwrap_err().exit(), Exit::Privilege);
}

#[test]
fn every_field_of_the_document_is_documented() {
    let (picture, session) = (picture(), session());
    let document = json::ProveDocument::of(&picture, &session, Patience::default());
    let document = serde_json::to_value(document).unwrap();
    let page = include_str!("../../../../docs/json.md");
    let section = page.split("\n## ").find(|part| part.starts_with("`halfopen.prove/1`")).unwrap();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let of_ls = keys(&serde_json::to_value(json::Connection::of(&session[0].diagnosis)).unwrap());
    let own = keys(&document["connections"][0]).into_iter().filter(|key| !of_ls.contains(key));
    for key in keys(&document).into_iter().chain(own) {
        assert!(section.contains(&format!("| `{key}` |")), "{key} is not documented");
    }
}

#[test]
fn a_connection_that_several_processes_hold_is_reached_through_each_of_them_once() {
    let mut seen = fixtures::observation(1);
    let owners = [(812, "server"), (813, "child"), (814, "child")];
    seen.owners =
        Owners::Known(owners.map(|(pid, name)| fixtures::owner(pid, name)).into_iter().collect());
    let each = std::iter::successors(Target::of(&seen), |target| target.next(&seen));
    assert!(each.map(|target| target.pid).eq(owners.map(|(pid, _)| pid)));
}
