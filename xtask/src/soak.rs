//! Owns `cargo xtask soak`: simulated weeks with the days on which software breaks. The world is
//! `halfopen_core::world`'s; the calendar, with its summer time, is jiff's.

use std::{process::ExitCode, time::Duration};

use halfopen_core::{
    Moment, heartbeat, reconnect,
    world::{Calendar, Day, Faults, Plan, Report, run as run_world},
};
use jiff::{Timestamp, Zoned, civil::date, tz::TimeZone};

/// Runs the weeks, or as many days as asked for from the first of them on.
pub(crate) fn run(options: &[&str]) -> ExitCode {
    let Some(given) = Given::read(options) else {
        eprintln!(
            "usage: cargo xtask soak [--clients N] [--days N] [--seed S] [--plant-saturdays]"
        );
        return ExitCode::from(2);
    };
    let mut is_well = true;
    for (name, wall) in weeks() {
        let report = given.run(&wall);
        let broken = report.breaches.len();
        println!("{name}: {} clients, {} days, seed {}", given.clients, given.days, given.seed);
        print!("{report}");
        is_well &= broken == 0;
        if given.days > 7 {
            break;
        }
        println!();
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Given {
    clients: u32,
    days: u32,
    seed: u64,
    plant: bool,
}

impl Given {
    fn read(options: &[&str]) -> Option<Self> {
        let mut given = Self { clients: 1000, days: 7, seed: 1, plant: false };
        let mut words = options.iter();
        while let Some(word) = words.next() {
            match *word {
                "--plant-saturdays" => given.plant = true,
                "--clients" => given.clients = words.next()?.parse().ok()?,
                "--days" => given.days = words.next()?.parse().ok()?,
                "--seed" => given.seed = words.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(given)
    }

    fn run(&self, wall: &Wall) -> Report {
        run_world(&Plan {
            clients: self.clients,
            heartbeat: heartbeat::Policy {
                // A short message every minute or two.
                interval: Duration::from_secs(120),
                ..heartbeat::Policy::default()
            },
            reconnect: reconnect::Policy::default(),
            length: Duration::from_secs(86_400) * self.days,
            faults: Faults::MANY,
            calendar: wall,
            rejects: if self.plant { Some(|day| day.weekday == 6) } else { None },
            seed: self.seed,
        })
    }
}

/// The clock on the server's wall.
#[derive(Debug)]
struct Wall {
    /// Where moment 0 is.
    begin: Timestamp,
    zone: TimeZone,
}

impl Calendar for Wall {
    fn day(&self, moment: Moment) -> Day {
        let seconds = i64::try_from(moment.0.as_secs()).unwrap_or(i64::MAX / 4);
        let at = self.begin.as_second().saturating_add(seconds);
        let now = Timestamp::from_second(at).unwrap_or(Timestamp::MAX);
        let now: Zoned = now.to_zoned(self.zone.clone());
        let part = |number: i16| u32::try_from(number).unwrap_or(0);
        Day {
            date: part(now.year()) * 10_000
                + part(now.month().into()) * 100
                + part(now.day().into()),
            weekday: u8::try_from(now.weekday().to_monday_one_offset()).unwrap_or(0),
            hour: u8::try_from(now.hour()).unwrap_or(0),
            offset_minutes: i16::try_from(now.offset().seconds() / 60).unwrap_or(0),
        }
    }
}

/// Central Europe: summer time from the last Sunday of March to that of October.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// Weeks of 2028, a leap year, that begin on a Thursday or so before the day in question.
fn weeks() -> Vec<(&'static str, Wall)> {
    let Ok(zone) = TimeZone::posix(ZONE) else { return Vec::new() };
    [
        ("a leap day", date(2028, 2, 26)),
        ("summer time begins", date(2028, 3, 23)),
        ("summer time ends", date(2028, 10, 26)),
        ("the year ends", date(2028, 12, 28)),
    ]
    .into_iter()
    .filter_map(|(name, day)| {
        let begin = day.to_zoned(zone.clone()).ok()?.timestamp();
        Some((name, Wall { begin, zone: zone.clone() }))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: fn(u64) -> Moment = |seconds| Moment(Duration::from_secs(seconds));

    fn wall(name: &str) -> Wall {
        weeks().into_iter().find(|(found, _)| *found == name).unwrap().1
    }

    fn given(clients: u32, plant: bool) -> Given {
        Given { clients, days: 7, seed: 1, plant }
    }

    #[test]
    fn the_weeks_have_the_days_that_they_are_named_for() {
        let days = |name| {
            let wall = wall(name);
            (0..7 * 24).map(|hour| wall.day(SECONDS(hour * 3600))).collect::<Vec<_>>()
        };
        assert!(days("a leap day").iter().any(|day| day.date == 20_280_229));
        let summer = days("summer time begins");
        // 2:00 to 3:00 does not exist on that Sunday.
        assert!(!summer.iter().any(|day| day.date == 20_280_326 && day.hour == 2));
        assert!(summer.iter().any(|day| day.offset_minutes == 60));
        assert!(summer.iter().any(|day| day.offset_minutes == 120));
        let winter = days("summer time ends");
        let twice = winter.iter().filter(|day| day.date == 20_281_029 && day.hour == 2).count();
        assert_eq!(twice, 2);
        let end = days("the year ends");
        assert!(end.iter().any(|day| day.date == 20_281_231));
        assert!(end.iter().any(|day| day.date == 20_290_101));
        for (name, _) in weeks() {
            assert!(days(name).iter().any(|day| day.weekday == 6), "{name} has no Saturday");
        }
    }

    #[test]
    fn a_thousand_clients_go_through_the_weeks_and_no_promise_is_broken() {
        for (name, wall) in weeks() {
            // A quarter of them in each of the four.
            let report = given(250, false).run(&wall);
            let again = "cargo xtask soak --clients 250 --seed 1";
            assert!(report.breaches.is_empty(), "{name}, {again}:\n{report}");
        }
    }

    #[test]
    fn a_server_that_rejects_everybody_on_saturdays_is_found() {
        let report = given(100, true).run(&wall("summer time begins"));
        let told = report.to_string();
        assert!(told.contains("on a Saturday"), "{told}");
    }
}
