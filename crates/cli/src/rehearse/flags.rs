//! Owns which flags go with which WHAT of `rehearse`: none is taken and then has no effect. Pure.

use crate::{
    args::{ClockKey, Rehearse},
    exit::Failure,
};

/// Sees to it that every flag that was given has an effect.
///
/// # Errors
/// [`Failure::Usage`] with the first that has none.
pub(super) fn check(arguments: &Rehearse) -> Result<(), Failure> {
    let what = arguments.what.as_str();
    let Some(unfit) = given(arguments).into_iter().find(|flag| !has_effect(what, flag)) else {
        return in_time(arguments);
    };
    Err(Failure::Usage(match (what, unfit) {
        ("all", "--clock warp") => {
            "`rehearse all` cannot warp the clock; name one scenario, or use rescale".to_owned()
        }
        ("all", "--capture") => {
            "one capture cannot hold all rehearsals; name one scenario".to_owned()
        }
        ("all", "--svg") => "one picture cannot show all rehearsals; name one scenario, or use \
                             --html, which has the picture of each"
            .to_owned(),
        ("book" | "detection", "--ipv6") => {
            "`book` and `detection` are over IPv4; leave --ipv6 out, or name a scenario".to_owned()
        }
        ("list" | "explain" | "doctor" | "all" | "book" | "detection", "SUBJECT") => {
            format!("`rehearse {what}` takes nothing more; leave out what follows it")
        }
        (_, "SUBJECT") => "one scenario at a time; leave out what follows it".to_owned(),
        ("list" | "explain" | "doctor" | "all" | "book" | "detection", _) => {
            format!("{unfit} has no effect on `rehearse {what}`; leave it out")
        }
        _ => format!("{unfit} has no effect on a scenario; leave it out"),
    }))
}

/// Whether `flag` has an effect on `what`.
fn has_effect(what: &str, flag: &str) -> bool {
    match what {
        "list" | "doctor" => false,
        "explain" => flag == "SUBJECT" || SCENARIO.contains(&flag),
        "book" => ["--capture", "--only-story", "--json"].contains(&flag),
        "detection" => flag == "--json",
        "all" => SCENARIO.contains(&flag) || CARRIED_OUT.contains(&flag),
        _ => [&SCENARIO[..], &CARRIED_OUT, &OF_ONE].concat().contains(&flag),
    }
}

/// What a scenario is.
const SCENARIO: [&str; 7] = [
    "--server",
    "--client",
    "--server-ready",
    "--set",
    "--ipv6",
    "--expect-detect-within",
    "--expect-no-loss",
];

/// How scenarios are done, and what comes of it.
const CARRIED_OUT: [&str; 5] = ["--seed", "--dry-run", "--clock", "--html", "--json"];

/// What is for one scenario at a time.
const OF_ONE: [&str; 6] =
    ["--clock warp", "--date", "--include", "--real-limit", "--svg", "--capture"];

/// What was given, beside the name of what to do. Colours do no harm where nothing is coloured.
fn given(arguments: &Rehearse) -> Vec<&'static str> {
    // Whole, so that a new flag is not forgotten here.
    let Rehearse {
        what: _,
        subject,
        server,
        client,
        server_ready,
        set,
        ipv6,
        seed,
        dry_run,
        clock,
        date,
        include,
        real_limit,
        in_machine: _,
        expect_detect_within,
        expect_no_loss,
        html,
        svg,
        capture,
        only_story,
        face,
    } = arguments;
    let all = [
        ("SUBJECT", subject.is_some()),
        ("--server", server.is_some()),
        ("--client", client.is_some()),
        ("--server-ready", server_ready.is_some()),
        ("--set", !set.is_empty()),
        ("--ipv6", *ipv6),
        ("--seed", seed.is_some()),
        ("--dry-run", *dry_run),
        ("--clock warp", *clock == ClockKey::Warp),
        ("--clock", matches!(clock, ClockKey::Real | ClockKey::Rescale)),
        ("--date", date.is_some()),
        ("--include", !include.is_empty()),
        ("--real-limit", real_limit.is_some()),
        ("--expect-detect-within", expect_detect_within.is_some()),
        ("--expect-no-loss", *expect_no_loss),
        ("--html", html.is_some()),
        ("--svg", svg.is_some()),
        ("--capture", capture.is_some()),
        ("--only-story", *only_story),
        ("--json", face.json),
    ];
    all.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect()
}

/// What the machine of `--clock warp` is told has no effect where it is ruled out.
fn in_time(arguments: &Rehearse) -> Result<(), Failure> {
    let ruled_out = matches!(arguments.clock, ClockKey::Real | ClockKey::Rescale);
    let of_warp = |flag: &&str| ["--date", "--include", "--real-limit"].contains(flag);
    match given(arguments).into_iter().find(of_warp) {
        Some(flag) if ruled_out => Err(Failure::Usage(format!(
            "{flag} is for --clock warp; leave it out, or choose that clock"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn refused(arguments: &Rehearse) -> Option<String> {
        check(arguments).err().map(|error| error.to_string())
    }

    fn what(what: &str) -> Rehearse {
        Rehearse { what: what.to_owned(), ..Rehearse::default() }
    }

    #[test]
    fn a_file_that_can_hold_one_rehearsal_is_refused_for_all_of_them_and_a_page_is_not() {
        let file = || Some(PathBuf::from("f"));
        let said = refused(&Rehearse { svg: file(), ..what("all") }).unwrap();
        assert!(said.contains("--html, which has the picture of each"), "{said}");
        let said = refused(&Rehearse { capture: file(), ..what("all") }).unwrap();
        assert!(said.contains("name one scenario"), "{said}");
        assert_eq!(refused(&Rehearse { html: file(), ..what("all") }), None);
        let one = Rehearse { html: file(), svg: file(), capture: file(), ..what("cable-pulled") };
        assert_eq!(refused(&one), None);
    }

    #[test]
    fn each_thing_to_do_refuses_what_it_would_ignore() {
        let only_story = |name| refused(&Rehearse { only_story: true, ..what(name) });
        assert_eq!(only_story("book"), None);
        for other in ["list", "doctor", "explain", "all", "detection", "cable-pulled"] {
            assert!(only_story(other).is_some_and(|said| said.starts_with("--only-story")));
        }
        let subject = |name| refused(&Rehearse { subject: Some("cut".into()), ..what(name) });
        assert_eq!(subject("explain"), None);
        for other in ["list", "doctor", "all", "book", "detection", "cable-pulled"] {
            assert!(subject(other).is_some_and(|said| said.contains("leave out what follows")));
        }
    }

    #[test]
    fn the_machine_is_told_nothing_where_it_is_ruled_out() {
        let dated =
            |clock| refused(&Rehearse { clock, date: Some("d".into()), ..what("cable-pulled") });
        assert_eq!((dated(ClockKey::Warp), dated(ClockKey::Auto)), (None, None));
        assert!(dated(ClockKey::Real).is_some_and(|said| said.contains("--clock warp")));
        let all = Rehearse { date: Some("d".into()), ..what("all") };
        assert!(refused(&all).is_some_and(|said| said.starts_with("--date has no effect")));
    }

    #[test]
    fn every_flag_has_an_effect_somewhere() {
        let whats = ["list", "explain", "doctor", "all", "book", "detection", "cable-pulled"];
        let everything = Rehearse {
            subject: Some(String::new()),
            server: Some(String::new()),
            client: Some(String::new()),
            server_ready: Some(String::new()),
            set: vec![String::new()],
            ipv6: true,
            seed: Some(1),
            dry_run: true,
            clock: ClockKey::Warp,
            date: Some(String::new()),
            include: vec![PathBuf::new()],
            expect_no_loss: true,
            html: Some(PathBuf::new()),
            svg: Some(PathBuf::new()),
            capture: Some(PathBuf::new()),
            only_story: true,
            ..what("x")
        };
        for flag in given(&everything) {
            assert!(whats.iter().any(|what| has_effect(what, flag)), "{flag}");
        }
    }
}
