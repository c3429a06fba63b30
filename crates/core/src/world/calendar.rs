//! Owns what a calendar is to the world, and the search for failures that keep to it: a bug that shows on
//! Saturdays alone must be found by its days, since nobody thinks of them.

use std::{collections::BTreeMap, fmt};

use crate::sample::Moment;

/// Tells what day and hour it is. The core has no time zones; who runs a world brings them.
pub trait Calendar: fmt::Debug {
    /// The day and hour of `moment`.
    fn day(&self, moment: Moment) -> Day;
}

/// A day and hour, by the server's clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day {
    /// As 20280229.
    pub date: u32,
    /// 1 is Monday, 7 Sunday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// East of UTC, in minutes; another one in summer.
    pub offset_minutes: i16,
}

/// Failures that keep to the calendar, more than chance would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// What they have in common: `every one is on a Saturday`.
    pub common: String,
    /// How many they are.
    pub failures: u64,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failures that no planned fault explains: {}", self.failures, self.common)
    }
}

/// Failures without an explanation, by the hour in which they happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(BTreeMap<Day, u64>);

impl Tally {
    pub(super) fn add(&mut self, day: Day) {
        *self.0.entry(day).or_default() += 1;
    }

    /// What they have in common; `None` without failures.
    pub(super) fn suspicion(&self) -> Option<Suspicion> {
        let failures: u64 = self.0.values().sum();
        if failures == 0 {
            return None;
        }
        let all = |of: fn(&Day) -> i64| {
            let mut values: Vec<_> = self.0.keys().map(of).collect();
            values.dedup();
            let first = *values.first()?;
            values.iter().all(|value| *value == first).then_some(first)
        };
        let weekday =
            all(|day| i64::from(day.weekday)).and_then(|day| usize::try_from(day - 1).ok());
        let date = all(|day| i64::from(day.date));
        let hour = all(|day| i64::from(day.hour));
        let mut common = Vec::new();
        if let Some(name) = weekday.and_then(|day| WEEKDAYS.get(day)) {
            common.push(format!("on a {name}"));
        }
        common.extend(date.map(|date| format!("on {date}")));
        common.extend(hour.map(|hour| format!("in the hour from {hour}:00")));
        let common = match common.as_slice() {
            [] => "they have neither weekday, date nor hour in common".to_owned(),
            parts => format!("every one is {}", parts.join(", ")),
        };
        Some(Suspicion { common, failures })
    }
}

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
