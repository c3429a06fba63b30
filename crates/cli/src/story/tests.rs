use super::*;
use crate::{
    fixtures,
    render::{Paint, write_story},
};

fn own() -> Place {
    Place { netns: "4026531840".to_owned(), is_own: true }
}

fn told(cookie: u64) -> String {
    let all = fixtures::every_verdict();
    let one = all.iter().find(|one| one.observation.sample.id.cookie.0 == cookie).unwrap();
    let mut out = Vec::new();
    write_story(&mut out, &Story::of(one, &own()), 80, Paint::when(false)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_story_of_a_quiet_connection_without_keepalive() {
    insta::assert_snapshot!(told(0xd1));
}

#[test]
fn the_story_of_a_connection_that_counts_down() {
    insta::assert_snapshot!(told(0xa3));
}

#[test]
fn the_story_of_a_connection_that_our_application_does_not_close() {
    insta::assert_snapshot!(told(0xb2));
}

#[test]
fn the_story_of_a_connection_whose_options_were_not_read() {
    insta::assert_snapshot!(told(0xc2));
}

#[test]
fn the_story_of_keepalive_against_the_boxes_on_the_path() {
    let mut one = fixtures::every_verdict().pop().unwrap();
    if let halfopen_core::OptionsSeen::Read(options) = &mut one.observation.options {
        let options = std::sync::Arc::make_mut(options);
        options.keepalive = Some(true);
        options.keepalive_idle = Some(fixtures::secs(340));
    }
    let blue = Place { netns: "blue".to_owned(), is_own: false };
    let mut out = Vec::new();
    write_story(&mut out, &Story::of(&one, &blue), 80, Paint::when(false)).unwrap();
    let text = String::from_utf8(out).unwrap();
    let path: Vec<_> =
        text.lines().skip_while(|line| *line != "the path").take_while(|l| !l.is_empty()).collect();
    insta::assert_snapshot!(path.join("\n"));
    // Its namespace is another one, so a command has to enter it.
    assert!(
        text.contains("      nsenter -n -t 1 ss -tinemo src 10.0.0.1:443 dst 198.51.100.77:40100")
    );
}

#[test]
fn every_verdict_has_a_story_that_fits_and_hides_nothing() {
    for one in fixtures::every_verdict() {
        let cookie = one.observation.sample.id.cookie.0;
        let text = told(cookie);
        assert!(!text.contains('\x1b'), "{cookie:x}");
        for line in text.lines().filter(|line| !line.starts_with("      ")) {
            assert!(line.chars().count() <= 80, "{cookie:x}: {line}");
        }
        for fact in one.verdict.evidence() {
            let first = fact.to_string();
            let first = first.split(' ').next().unwrap().to_owned();
            assert!(text.contains(&first), "{cookie:x}: {fact}");
        }
    }
}
