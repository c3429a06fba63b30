//! Owns the order in which cases are played, and where: those that wait, beside each other; those that
//! cut cables, in labs of their own; those that strain the relay, last. Judges nothing.

use std::{
    collections::HashMap,
    sync::mpsc::{Sender, channel},
    thread,
};

use crate::{
    case::{Case, Needs, Pace},
    outcome::{Mark, Outcome},
    stage::{Limits, Place, Stage, StageError},
};

/// Plays the cases, and calls `played` for each as soon as its outcome is known. Gives all outcomes in
/// the order of the cases.
///
/// # Errors
/// [`StageError`] where not even the stage for the plain cases could be set.
pub fn play(
    cases: &[Case],
    place: &Place,
    limits: Limits,
    mut played: impl FnMut(&Case, &Outcome),
) -> Result<Vec<(Case, Outcome)>, StageError> {
    let stage = Stage::set(place, limits)?;
    // What the slow cases send would otherwise share a cable with an RST, which nobody repeats if it is lost.
    let apart = place.is_lab().then(|| Stage::set(place, limits)).transpose()?;
    let mut outcomes = HashMap::new();
    let mut note = |case: &Case, outcome: Outcome| {
        played(case, &outcome);
        outcomes.insert(case.name, outcome);
    };
    let (ready, lacking): (Vec<_>, Vec<_>) =
        cases.iter().copied().partition(|case| place.lacks(case.needs).is_none());
    for case in lacking {
        let why = place.lacks(case.needs).unwrap_or_default().to_owned();
        note(&case, Outcome { mark: Mark::NotRun, brief: "not run".to_owned(), said: why });
    }
    thread::scope(|scope| {
        let (sender, results) = channel();
        for case in &ready {
            match case.needs {
                Needs::Cables | Needs::Victim => {
                    let sender = sender.clone();
                    scope.spawn(move || tell(&sender, *case, alone(case, place, limits)));
                }
                _ if case.pace == Pace::Slow => {
                    let (sender, stage) = (sender.clone(), apart.as_ref().unwrap_or(&stage));
                    scope.spawn(move || tell(&sender, *case, on(case, stage)));
                }
                _ => {}
            }
        }
        let brisk = sender.clone();
        let (stage, ready) = (&stage, &ready);
        scope.spawn(move || {
            let brisk_cases = ready.iter().filter(|case| {
                case.pace == Pace::Brisk && matches!(case.needs, Needs::Ends | Needs::Relay)
            });
            for case in brisk_cases {
                tell(&brisk, *case, on(case, stage));
            }
        });
        drop(sender);
        for (case, outcome) in results {
            note(&case, outcome);
        }
    });
    for case in ready.iter().filter(|case| case.pace == Pace::Last) {
        note(case, on(case, &stage));
    }
    let outcome = |case: &Case| Some((*case, outcomes.get(case.name)?.clone()));
    Ok(cases.iter().filter_map(outcome).collect())
}

/// Nobody listens any more only where the suite itself has ended.
fn tell(sender: &Sender<(Case, Outcome)>, case: Case, outcome: Outcome) {
    let _ = sender.send((case, outcome));
}

fn on(case: &Case, stage: &Stage) -> Outcome {
    (case.play)(stage, case.acting).into()
}

/// Plays a case on a stage of its own.
fn alone(case: &Case, place: &Place, limits: Limits) -> Outcome {
    match Stage::set(place, limits) {
        Ok(stage) => on(case, &stage),
        Err(error) => Err(error.into()).into(),
    }
}
