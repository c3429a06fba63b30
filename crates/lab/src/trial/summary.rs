//! Owns the summary of many trials: how many were as predicted, and how narrow predictions were. Pure.

use std::fmt;

use halfopen_core::detection::Learns;

use super::Outcome;

/// What many trials showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// All trials.
    pub trials: usize,
    /// The measurement lay within the prediction.
    pub hits: usize,
    /// It did not, or there was no prediction.
    pub misses: usize,
    /// Those that could not be held at all.
    pub failures: usize,
    /// The median of (max - min) / max over the predictions that are intervals; `None` if none is.
    pub median_width: Option<f64>,
}

/// An interval is narrow enough if its median width is no more than this part of its end.
pub const WIDTH_MAX: f64 = 0.15;

impl Summary {
    /// Counts.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let count = |is: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|one| is(one)).count();
        let (hits, failures) = (count(&Outcome::is_hit), count(&|one| one.result.is_err()));
        let mut widths: Vec<f64> = outcomes.iter().filter_map(width).collect();
        widths.sort_by(f64::total_cmp);
        Self {
            trials: outcomes.len(),
            hits,
            misses: outcomes.len() - hits - failures,
            failures,
            median_width: widths.get(widths.len() / 2).copied(),
        }
    }

    /// Nothing missed, nothing failed, and predictions narrow enough to be worth something.
    pub fn is_good(&self) -> bool {
        self.hits == self.trials && self.median_width.is_none_or(|width| width <= WIDTH_MAX)
    }
}

fn width(outcome: &Outcome) -> Option<f64> {
    let Ok(finding) = &outcome.result else { return None };
    let Learns::Within(prediction) = &finding.predicted else { return None };
    let (min, max) = (prediction.within.min().as_secs_f64(), prediction.within.max().as_secs_f64());
    (max > 0.0).then(|| (max - min) / max)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} trials: {} as predicted, {} missed, {} could not be held",
            self.trials, self.hits, self.misses, self.failures
        )?;
        match self.median_width {
            Some(width) => write!(
                f,
                "; median width of a prediction {:.1} % of its end (goal {:.0} %)",
                width * 100.0,
                WIDTH_MAX * 100.0
            ),
            None => f.write_str("; no prediction was an interval"),
        }
    }
}

#[cfg(test)]
mod tests {
    use halfopen_core::detection::AppTold;
    use rustix::io::Errno;

    use super::*;
    use crate::trial::{
        Case, Finding, TrialError,
        outcome::tests::{ended, within},
    };

    fn outcome(result: Result<Finding, TrialError>) -> Outcome {
        Outcome { case: Case::named("case"), result }
    }

    #[test]
    fn a_miss_a_failure_or_wide_predictions_are_not_good() {
        let hit = |min| {
            outcome(Ok(Finding {
                predicted: within(min, 2000, AppTold::TimedOut),
                ended: ended(1990, Some(Errno::TIMEDOUT)),
            }))
        };
        let miss = outcome(Ok(Finding {
            predicted: within(1900, 2000, AppTold::TimedOut),
            ended: ended(3000, Some(Errno::TIMEDOUT)),
        }));
        let failure = outcome(Err(TrialError::NotReached { wanted: "x", instead: String::new() }));
        assert!(Summary::of(&[hit(1900)]).is_good());
        assert!(!Summary::of(&[hit(1000)]).is_good());
        let all = Summary::of(&[hit(1900), miss, failure]);
        assert_eq!((all.hits, all.misses, all.failures), (1, 1, 1));
        assert!(!all.is_good());
    }
}
