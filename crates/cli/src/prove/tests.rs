use super::*;
use crate::args::{Arguments, Verb};
use clap::Parser as _;

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
        assert!(chooses_nothing(&arguments(line).selectors), "{line}");
        let refused = run(&arguments(line), &mut Vec::new()).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        assert!(refused.to_string().contains("--all"), "{refused}");
    }
    for line in ["--peer 10.0.0.7", "--idle-over 1h", "--netns blue", "--id 1f@4026531840"] {
        assert!(!chooses_nothing(&arguments(line).selectors), "{line}");
    }
}

#[test]
fn probes_may_not_be_closer_than_a_peer_answers() {
    assert!(patience(&arguments("--interval 999ms")).is_err());
    let slow = patience(&arguments("--interval 2s --probes 3")).unwrap();
    assert_eq!((slow.probes(), slow.interval().as_secs()), (3, 2));
    assert_eq!(patience(&arguments("")).unwrap(), Patience::default());
}

#[test]
fn every_method_has_the_same_word_on_the_command_line_and_in_the_answer() {
    for one in Method::ALL {
        let key = arguments(&format!("--method {one}")).method.unwrap();
        assert_eq!(method(key), one);
    }
}
