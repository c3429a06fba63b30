use super::*;
use crate::fixtures;

fn subject(text: &str) -> Result<Subject, String> {
    let arguments = Why { subject: Some(text.to_owned()), ..Why::default() };
    Subject::of(&arguments).map_err(|failure| failure.to_string())
}

fn narrowed(text: &str) -> Vec<u64> {
    let mut all = fixtures::every_verdict().into_iter().collect();
    subject(text).unwrap().narrow(&mut all);
    all.iter().map(|one| one.observation.sample.id.cookie.0).collect()
}

#[test]
fn a_word_is_a_verdict_and_an_id_is_an_id() {
    assert_eq!(subject("quiet"), Ok(Subject::Page(VerdictKind::Quiet)));
    assert_eq!(subject("Half-Open"), Ok(Subject::Page(VerdictKind::HalfOpen)));
    assert!(matches!(subject("1f3a@4026531840"), Ok(Subject::Id(_))));
}

#[test]
fn two_ends_name_one_connection() {
    assert_eq!(narrowed("10.0.0.1:8080->10.0.0.66:50123"), [0xb2]);
    assert_eq!(narrowed("10.0.0.1:8080 -> 10.0.0.66:50123"), [0xb2]);
    assert_eq!(narrowed("[2001:db8:85a3::8a2e:370:7334]:22->[2001:db8:1:2:3:4:5:6]:51122"), [0xd2]);
}

#[test]
fn one_end_is_the_peers_if_it_fits_a_peer_and_ours_else() {
    assert_eq!(narrowed("10.0.0.9"), [0xb3]);
    assert_eq!(narrowed(":5432"), [0xc2]);
    assert_eq!(narrowed(":33004"), [0xc1]);
    assert_eq!(narrowed(":443"), [0xb4, 0xc1]);
    assert!(narrowed("10.9.9.9").is_empty());
}

#[test]
fn what_is_neither_gets_the_valid_forms() {
    let refusal = subject("db1").unwrap_err();
    assert!(refusal.starts_with("`db1` is neither a connection"), "{refusal}");
    assert!(refusal.contains("half-closed"), "{refusal}");
}

#[test]
fn several_matches_are_listed_with_a_way_to_choose() {
    let failure = several_match(&fixtures::picture());
    assert_eq!(failure.exit(), Exit::Usage);
    insta::assert_snapshot!(failure);
}

#[test]
fn every_verdict_has_a_page_that_begins_with_its_word() {
    for kind in VerdictKind::ALL {
        assert!(page_of(kind).starts_with(&format!("# {kind}")), "{kind}");
    }
}
