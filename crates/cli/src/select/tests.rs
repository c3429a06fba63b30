use proptest::prelude::*;

use super::*;
use crate::fixtures;

fn selection(change: impl FnOnce(&mut Selectors)) -> Selection {
    let mut selectors = Selectors::default();
    change(&mut selectors);
    Selection::new(&selectors)
}

/// The cookies of the fixtures that `change` selects.
fn chosen(change: impl FnOnce(&mut Selectors)) -> Vec<u64> {
    let selection = selection(change);
    fixtures::every_verdict()
        .iter()
        .filter(|one| selection.matches(one))
        .map(|one| one.observation.sample.id.cookie.0)
        .collect()
}

#[test]
fn no_selector_means_everything() {
    assert_eq!(chosen(|_| {}).len(), fixtures::every_verdict().len());
}

#[test]
fn each_selector_chooses() {
    assert_eq!(chosen(|s| s.peer = vec!["10.0.0.0/24:111".parse().unwrap()]), [0xa1, 0xd1]);
    assert_eq!(chosen(|s| s.local = vec![":22".parse().unwrap()]), [0xd2]);
    assert_eq!(chosen(|s| s.port = vec!["5432".parse().unwrap()]), [0xc2]);
    assert_eq!(chosen(|s| s.port = vec![":22".parse().unwrap()]), [0xa2, 0xd2]);
    assert_eq!(chosen(|s| s.process = vec!["nginx".parse().unwrap()]), [0xb1, 0xb2]);
    assert_eq!(chosen(|s| s.process = vec!["1204".parse().unwrap()]), [0xb4]);
    assert_eq!(chosen(|s| s.state = vec!["FIN_WAIT2".parse().unwrap()]), [0xb3]);
    assert_eq!(chosen(|s| s.verdict = vec!["half-closed".parse().unwrap()]), [0xb2, 0xb3]);
    assert_eq!(chosen(|s| s.cgroup = vec!["curl.service".to_owned()]), [0xb4]);
    assert_eq!(chosen(|s| s.idle_over = Some("1h30m".parse().unwrap())), [0xa2, 0xb2]);
    let id = format!("b2@{}", fixtures::NETNS);
    assert_eq!(chosen(|s| s.id = vec![id.parse().unwrap()]), [0xb2]);
}

#[test]
fn different_selectors_narrow_and_equal_ones_widen() {
    let verdicts = |words: [&str; 2]| words.map(|word| word.parse().unwrap()).to_vec();
    assert_eq!(chosen(|s| s.verdict = verdicts(["quiet", "silent"])), [0xa2, 0xd1, 0xd2]);
    assert_eq!(
        chosen(|s| {
            s.verdict = verdicts(["quiet", "silent"]);
            s.port = vec!["22".parse().unwrap()];
        }),
        [0xa2, 0xd2]
    );
}

#[test]
fn idle_means_longer_than_the_time_given() {
    // Fixture a1 was heard exactly 600 s ago.
    let idle = |text: &str| chosen(|s| s.idle_over = Some(text.parse().unwrap()));
    assert!(!idle("600s").contains(&0xa1));
    assert!(idle("599s").contains(&0xa1));
}

#[test]
fn whose_age_is_unknown_is_not_called_idle() {
    assert!(!chosen(|s| s.idle_over = Some("0s".parse().unwrap())).contains(&0xc2));
}

#[test]
fn loopback_is_hidden_unless_it_is_asked_for() {
    let mut one = fixtures::every_verdict().remove(0);
    one.observation.sample.endpoints.local = "127.0.0.1:80".parse().unwrap();
    one.observation.sample.endpoints.peer = "127.0.0.1:4000".parse().unwrap();
    let hides = |change: fn(&mut Selectors)| selection(change).hides(&one.observation);
    assert!(hides(|_| {}));
    assert!(hides(|s| s.port = vec!["80".parse().unwrap()]));
    assert!(!hides(|s| s.loopback = true));
    assert!(!hides(|s| s.peer = vec!["127.0.0.1".parse().unwrap()]));
    assert!(!hides(|s| s.local = vec!["127.0.0.0/8:80".parse().unwrap()]));
    assert!(!hides(|s| s.id = vec!["a1@1".parse().unwrap()]));
}

#[test]
fn an_id_leads_to_its_namespace() {
    let scope = |ids: &[&str]| {
        let ids: Vec<_> = ids.iter().map(|id| id.parse().unwrap()).collect();
        selection(|s| s.id = ids).scope()
    };
    assert_eq!(scope(&[]), Scope::Current);
    assert_eq!(scope(&["1@4026531840", "2@4026531840"]), Scope::Named("4026531840".to_owned()));
    assert_eq!(scope(&["1@4026531840", "2@4026532000"]), Scope::All);
}

#[test]
fn listeners_show_unless_the_selectors_are_about_connections() {
    let listener = fixtures::picture().listeners.remove(0);
    let shows = |change: fn(&mut Selectors)| selection(change).matches_listener(&listener);
    assert!(shows(|_| {}));
    assert!(shows(|s| s.port = vec!["8080".parse().unwrap()]));
    assert!(!shows(|s| s.port = vec!["80".parse().unwrap()]));
    assert!(!shows(|s| s.peer = vec!["10.0.0.1".parse().unwrap()]));
}

#[test]
fn states_go_by_the_names_of_the_rfc_and_of_ss() {
    for (state, names) in STATES {
        for name in names.iter().chain([&state.rfc_name()]) {
            assert_eq!(name.parse::<StatePattern>(), Ok(StatePattern(state)), "{name}");
        }
    }
    assert_eq!("FIN_WAIT_2".parse::<StatePattern>(), Ok(StatePattern(TcpState::FinWait2)));
    assert!("listen".parse::<StatePattern>().is_err());
}

#[test]
fn command_names_are_cut_like_the_kernel_cuts_them() {
    let long: ProcessPattern = "systemd-resolved-extra".parse().unwrap();
    assert_eq!(long, ProcessPattern::Command("systemd-resolve".to_owned()));
    assert!("".parse::<ProcessPattern>().is_err());
}

proptest! {
    #[test]
    fn every_further_selector_narrows(port in any::<bool>(), quiet in any::<bool>(), nginx in any::<bool>()) {
        let with = |port: bool, quiet: bool, nginx: bool| chosen(|s| {
            if port { s.port = vec!["8080".parse().unwrap()]; }
            if quiet { s.verdict = vec!["quiet".parse().unwrap(), "blocked".parse().unwrap()]; }
            if nginx { s.process = vec!["nginx".parse().unwrap()]; }
        });
        let narrow = with(port, quiet, nginx);
        for wide in [with(false, quiet, nginx), with(port, false, nginx), with(port, quiet, false)] {
            prop_assert!(narrow.iter().all(|cookie| wide.contains(cookie)));
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC*") {
        let _ = text.parse::<StatePattern>();
        let _ = text.parse::<VerdictPattern>();
        let _ = text.parse::<ProcessPattern>();
        let _ = text.parse::<PortPattern>();
        let _ = text.parse::<IdPattern>();
    }
}
