//! All cases, by family; each family is a file that says what its cases do.

mod birth;
mod bytes;
mod crowd;
mod half_close;
mod patience;
mod reset;
mod vanish;

use std::time::Duration;

use crate::{
    case::Case,
    end::End,
    outcome::{Miss, Seen},
};

/// Every case, in the order of the score card.
pub fn all() -> Vec<Case> {
    let families: [&[Case]; 7] = [
        half_close::CASES,
        patience::CASES,
        reset::CASES,
        birth::CASES,
        vanish::CASES,
        bytes::CASES,
        crowd::CASES,
    ];
    families.concat()
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Some bytes pass each way, so that the connection is known to work.
fn greet(one: &mut End, other: &mut End, soon: Duration) -> Result<(), Miss> {
    one.send(KIB)?;
    other.receive(KIB, soon)?.open_after(KIB)?;
    other.send(KIB)?;
    one.receive(KIB, soon)?.open_after(KIB)?;
    Ok(())
}

/// So many bytes go one way, in pieces that any pair of sockets holds.
fn pass(from: &mut End, to: &mut End, bytes: u64, soon: Duration) -> Result<(), Miss> {
    const PIECE: u64 = 64 * KIB;
    for _ in 0..bytes / PIECE {
        from.send(PIECE)?;
        to.receive(PIECE, soon)?.open_after(PIECE)?;
    }
    Ok(())
}

/// Long enough for a relay to have connected, and to go back to waiting.
const SETTLED: Duration = Duration::from_millis(300);

fn seen(said: impl Into<String>) -> Result<Seen, Miss> {
    Ok(Seen(said.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::case::Side;

    #[test]
    fn names_are_unique_and_every_case_says_what_it_does() {
        let cases = all();
        let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        for case in cases {
            for said in [case.done, case.due, case.source] {
                assert!(said.len() > 8 && !said.ends_with('.'), "{}: {said}", case.name);
            }
            assert!(
                case.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn a_case_that_both_sides_play_is_there_for_both() {
        let cases = all();
        let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
        for case in &cases {
            if let Some(stem) = case.name.strip_suffix("-client") {
                assert!(names.contains(format!("{stem}-server").as_str()), "{}", case.name);
                assert_eq!(case.acting, Side::Client, "{}", case.name);
            }
            if case.name.ends_with("-server") {
                assert_eq!(case.acting, Side::Server, "{}", case.name);
            }
        }
    }
}
