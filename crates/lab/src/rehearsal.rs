//! Owns a rehearsal: builds the lab of a scenario, runs its programs, carries out its timeline, and
//! watches both ends until both have noticed. Decides nothing about what is good. Read: `timeline` for
//! what is done, `forecast` for what is expected, `card` for what comes out.

mod acts;
mod dhcp;
mod findings;
mod flood;
mod foresee;
mod look;
mod notice;
mod pace;
mod party;
mod picture;
mod rescale;
mod stage;
mod traffic;
mod watch;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use halfopen_core::Moment;

use crate::{
    card::Card,
    clock::{self, Choice, Clock},
    fault::Side,
    forecast::{Foreseen, forecast},
    host::HostError,
    lab::LabError,
    requirements::Missing,
    scenario::{Scenario, When},
    timeline::{self, Act, Cue},
    trial::go_first,
};

use self::{findings::Record, look::Look, stage::Stage};

/// How a rehearsal is to be done.
#[derive(Debug)]
pub struct Options<'a> {
    /// The command that becomes one of the built-in pair when the words of [`crate::pair::Role`] are
    /// appended: the program and its first arguments.
    pub pair: Vec<String>,
    /// Where to write what passes the client's cable, if anywhere.
    pub capture: Option<PathBuf>,
    /// How time passes for the victims' timers. [`Clock::Warp`] says that this is the machine whose
    /// clock leaps; nothing else is done for it.
    pub clock: Clock,
    /// Asked right before the first fault whether another clock would be better.
    pub choice: Option<Chooses<'a>>,
    /// Why it is this clock, for the card; `None` where nothing was to be chosen.
    pub clock_because: Option<String>,
    /// What chance decides on the cables follows from it.
    pub seed: u64,
    /// Set from outside when the rehearsal is to end now, with everything cleared away.
    pub interrupted: &'a AtomicBool,
}

/// That the clock is to be chosen by what is foreseen.
#[derive(Debug, Clone, Copy)]
pub struct Chooses<'a> {
    /// Why there is no emulated machine, where there is none.
    pub no_machine: Option<&'a str>,
}

/// Does the scenario once. Nothing is left behind in any case.
///
/// # Errors
/// [`RehearsalError::Missing`] for what this machine lacks, [`RehearsalError::Interrupted`] where it
/// was asked to end, else what did not go as the scenario wants.
pub fn run(scenario: &Scenario, options: &Options<'_>) -> Result<Card, RehearsalError> {
    let mut stage = Stage::set(scenario, options)?;
    let mut play = Play::new(scenario, options);
    play.set_up(&mut stage)?;
    if options.clock == Clock::Rescale {
        for side in Side::BOTH {
            play.record.notes.push(rescale::host(&stage, side)?);
        }
    }
    stage.start(Side::Server)?;
    stage.wait_until_ready(Side::Server, options.interrupted)?;
    stage.count_before();
    play.before_client(&mut stage)?;
    stage.start(Side::Client)?;
    if scenario.steps.iter().any(|step| step.fault.is_of_birth()) {
        play.record.first_fault = Some(halfopen_sys::now());
        play.from = halfopen_sys::now();
        stage.watch.choose_any();
    } else {
        stage.wait_until_established(options.interrupted)?;
        play.from = halfopen_sys::now();
    }
    // Acts and looks are to come when they are due, whatever else the machine does.
    go_first();
    let ended = play.until_over(&mut stage)?;
    findings::card(scenario, &mut stage, play.record, ended)
}

/// The timeline as it is being carried out.
struct Play<'a> {
    scenario: &'a Scenario,
    options: &'a Options<'a>,
    cues: Vec<Cue>,
    next: usize,
    /// What the times of the timeline count from.
    from: Moment,
    /// When something was done or heard last.
    stirred: Moment,
    record: Record,
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, options: &'a Options<'a>) -> Self {
        let cues = timeline::cues(scenario);
        let from = halfopen_sys::now();
        Self { scenario, options, cues, next: 0, from, stirred: from, record: Record::default() }
    }

    /// What is there before any program.
    fn set_up(&mut self, stage: &mut Stage<'_>) -> Result<(), RehearsalError> {
        self.carry_out(stage, |cue| cue.step.is_none())
    }

    /// Faults of birth.
    fn before_client(&mut self, stage: &mut Stage<'_>) -> Result<(), RehearsalError> {
        self.carry_out(stage, |cue| cue.when == When::BeforeClient)
    }

    /// Carries out the next cues as long as they are `due`.
    fn carry_out(
        &mut self,
        stage: &mut Stage<'_>,
        due: impl Fn(&Cue) -> bool,
    ) -> Result<(), RehearsalError> {
        while let Some(cue) = self.cues.get(self.next).filter(|cue| due(cue)).cloned() {
            self.next += 1;
            let now = halfopen_sys::now();
            self.stirred = now;
            if cue.step.is_some() {
                self.record.acts.push((now, cue.act.to_string()));
            }
            self.note_lateness(&cue, now);
            stage.carry_out(&cue.act)?;
        }
        Ok(())
    }

    /// On a busy machine an act may come later after the first than it should.
    fn note_lateness(&mut self, cue: &Cue, now: Moment) {
        let (When::AfterEstablished(due), Some(first)) = (cue.when, self.record.first_fault) else {
            return;
        };
        let first_due = match self.scenario.steps.first().map(|step| step.when) {
            Some(When::AfterEstablished(at)) => at,
            _ => Duration::ZERO,
        };
        let late = now.since(first).saturating_sub(due.saturating_sub(first_due));
        self.record.latest_act = self.record.latest_act.max(late);
    }

    /// The timeline, and the watch, until it is over. Says why it is.
    fn until_over(&mut self, stage: &mut Stage<'_>) -> Result<&'static str, RehearsalError> {
        loop {
            if self.options.interrupted.load(Ordering::Relaxed) {
                return Err(RehearsalError::Interrupted);
            }
            let now = halfopen_sys::now();
            let elapsed = now.since(self.from);
            stage.listen();
            stage.type_due(elapsed)?;
            let is_due =
                |cue: &Cue| matches!(cue.when, When::AfterEstablished(at) if at <= elapsed);
            if self.cues.get(self.next).is_some_and(is_due) {
                // What is seen of the sockets is to be no older than the fault.
                stage.watch.dump(&stage.lab)?;
                if self.record.first_fault.is_none() {
                    self.look_before(stage)?;
                    self.choose_clock(stage)?;
                    self.record.first_fault = Some(halfopen_sys::now());
                    stage.watch.note_fault();
                } else {
                    self.foresee_step(stage);
                }
                self.carry_out(stage, is_due)?;
            }
            let quiet = now.since(self.stirred);
            stage.watch.dump_if_due(&stage.lab, pace::readings(quiet))?;
            self.foresee(stage)?;
            if let Some(why) = self.is_over(stage) {
                return Ok(why);
            }
            self.rest(stage);
        }
    }

    /// Looks away until something stirs, something is due, or it is time to look anyway.
    fn rest(&mut self, stage: &Stage<'_>) {
        let began = halfopen_sys::now();
        let elapsed = began.since(self.from);
        let cue = self.cues.get(self.next).and_then(|cue| match cue.when {
            When::AfterEstablished(at) => Some(at),
            When::BeforeClient => None,
        });
        let limit =
            self.record.first_fault.map(|at| at.since(self.from) + self.scenario.stop.limit);
        let due = [cue, stage.next_typed(), limit].into_iter().flatten().min();
        let due = due.map(|at| at.saturating_sub(elapsed));
        let pause = pace::pause(began.since(self.stirred), due);
        // However much stirs, looks are not closer together than this.
        thread::sleep(pause.min(pace::PAUSE));
        while !self.options.interrupted.load(Ordering::Relaxed) {
            let left = pause.saturating_sub(halfopen_sys::now().since(began));
            if stage.bell.wait(left.min(HEARS_INTERRUPTIONS_WITHIN)) {
                self.stirred = halfopen_sys::now();
                return;
            }
            if left.is_zero() {
                return;
            }
        }
    }

    /// Looks at each victim right before the fault.
    fn look_before(&mut self, stage: &mut Stage<'_>) -> Result<(), RehearsalError> {
        let sample = |side| stage.watch.focus(side).map(|track| &track.last);
        let server = sample(Side::Server);
        self.record.state = sample(Side::Client).map(|client| traffic::state(client, server));
        for side in Side::BOTH {
            let Some(track) = stage.watch.focus(side) else { continue };
            let (cookie, regime) = (track.last.id.cookie, look::regime(&track.last));
            if let Some(look) = Look::at(stage, side, cookie, regime)? {
                if self.options.clock == Clock::Rescale {
                    self.record.notes.extend(rescale::socket(stage, side, &look)?);
                }
                if let Some((_, pid, fd)) = look.kept {
                    stage.hold(side, pid, fd);
                }
                self.record.before.set(side, look);
            }
        }
        Ok(())
    }

    /// Ends the rehearsal where another clock is better for what is foreseen.
    fn choose_clock(&self, stage: &Stage<'_>) -> Result<(), RehearsalError> {
        let (Some(chooses), Some(first)) = (self.options.choice, self.scenario.steps.first())
        else {
            return Ok(());
        };
        let foreseen = Side::BOTH.map(|side| {
            let look = self.record.before.get(side)?;
            let known = look.known(self.known(stage, side, look.at, Duration::ZERO));
            Some(forecast(&first.fault, side, known))
        });
        let of_pair = self.scenario.is_of_pair();
        let foreseen = foreseen.each_ref().map(Option::as_ref);
        let choice = clock::by_forecast(self.scenario, foreseen, of_pair, chooses.no_machine);
        if choice.clock == self.options.clock {
            return Ok(());
        }
        Err(RehearsalError::OtherClock { choice })
    }

    fn is_over(&self, stage: &Stage<'_>) -> Option<&'static str> {
        let first_fault = self.record.first_fault?;
        let now = halfopen_sys::now();
        let watched = now.since(first_fault);
        if watched >= self.scenario.stop.limit {
            return Some("the limit of the scenario is reached");
        }
        if !self.scenario.stop.when_both_noticed || self.next < self.cues.len() {
            return None;
        }
        let mut is_never = false;
        for side in Side::BOTH {
            match self.waits_for(stage, side, first_fault, watched) {
                Waits::Yes => return None,
                Waits::Never => is_never = true,
                Waits::No => {}
            }
        }
        if self.waits_for_reconnect(stage, first_fault) {
            return None;
        }
        // What goes after the last segment, such as a second RST, is part of the story.
        let settled = now.since(notice::last_event(stage, first_fault)) >= SETTLE;
        match (settled, is_never) {
            (false, _) => None,
            (true, true) => {
                Some("who has not noticed by now will not within the limit, as predicted")
            }
            (true, false) => Some("both sides have noticed"),
        }
    }

    /// Whether there is something to wait for on a side.
    fn waits_for(
        &self,
        stage: &Stage<'_>,
        side: Side,
        first_fault: Moment,
        watched: Duration,
    ) -> Waits {
        let foreseen = self.record.foreseen.get(side).map(|(foreseen, since)| (foreseen, *since));
        // A program may have a timer of its own, which only the limit can rule out.
        let is_own = stage.command(side).is_none();
        let is_for_nothing = match foreseen {
            Some((Foreseen::Never { .. }, _)) => is_own,
            Some((Foreseen::Within { within, .. }, since)) => {
                is_own && within.min().saturating_add(since) > self.scenario.stop.limit
            }
            _ => false,
        };
        let now = halfopen_sys::now();
        let waits = match foreseen {
            _ if stage.has_lost_power(side) => false,
            Some((Foreseen::Fails, _)) => false,
            _ if is_for_nothing => {
                let noticed = notice::of_kernel(stage, side, first_fault).is_some();
                if !noticed && watched >= self.never(side) {
                    return Waits::Never;
                }
                !noticed
            }
            // A client that has just been started has no connection yet.
            None if stage.watch.focus(side).is_none() => {
                side == Side::Client && stage.party(side).ended.is_none()
            }
            _ => !notice::is_done(stage, side, first_fault, now),
        };
        if waits { Waits::Yes } else { Waits::No }
    }

    /// How long to watch a side that is said not to notice: until every timer that could refute it has
    /// had its time, but no longer than [`NEVER`].
    fn never(&self, side: Side) -> Duration {
        let Some(look) = self.record.looks.get(side) else { return NEVER };
        let learns = look.seen(look.at).learns;
        let timers = [Some(&learns.idle), Some(&learns.busy), learns.now.as_ref()];
        let latest =
            timers.into_iter().flatten().filter_map(|one| one.within()).map(|one| one.max());
        latest.max().map_or(NEVER, |latest| NEVER.min(latest + Duration::from_secs(1)))
    }

    /// A client that connects again is given the chance to, and to repeat what was not answered.
    fn waits_for_reconnect(&self, stage: &Stage<'_>, first_fault: Moment) -> bool {
        self.scenario.client.command.is_none()
            && self.scenario.pair.reconnect
            && notice::of_application(stage, Side::Client, first_fault).is_some()
            && (stage.watch.established_again(Side::Client, first_fault).is_none()
                || stage.repeats())
    }
}

/// Whether there is something to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Yes,
    No,
    /// Nothing came for so long that nothing will.
    Never,
}

/// Who is said to wait for ever is watched for this long.
pub const NEVER: Duration = Duration::from_secs(10);

/// Longer than the first retransmission time-out.
const SETTLE: Duration = Duration::from_millis(400);

/// Nobody who presses Ctrl-C waits longer.
const HEARS_INTERRUPTIONS_WITHIN: Duration = Duration::from_secs(1);

/// One value for each side.
#[derive(Debug)]
struct BySide<T>([Option<T>; 2]);

impl<T> Default for BySide<T> {
    fn default() -> Self {
        Self([None, None])
    }
}

impl<T> BySide<T> {
    const fn get(&self, side: Side) -> Option<&T> {
        let [client, server] = &self.0;
        match side {
            Side::Client => client.as_ref(),
            Side::Server => server.as_ref(),
        }
    }

    fn set(&mut self, side: Side, value: T) {
        let [client, server] = &mut self.0;
        *match side {
            Side::Client => client,
            Side::Server => server,
        } = Some(value);
    }
}

/// Waits for something without being deaf to an interruption.
fn patiently<T>(
    within: Duration,
    interrupted: &AtomicBool,
    mut ready: impl FnMut() -> Result<Option<T>, RehearsalError>,
) -> Result<Option<T>, RehearsalError> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = ready()? {
            return Ok(Some(value));
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err(RehearsalError::Interrupted);
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pace::PAUSE);
    }
}

/// Why a rehearsal could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearsalError {
    /// The machine lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Another clock is better for what is foreseen; nothing was done to the connection yet.
    #[error("rehearse by the {} clock: {}; do it by the {} clock", Clock::Real.word(), choice.why, choice.clock.word())]
    OtherClock {
        /// Which, and why.
        choice: Choice,
    },
    /// It was asked to end.
    #[error("end the rehearsal as the scenario wants: it was interrupted; nothing is left of it")]
    Interrupted,
    /// The lab could not be built or changed.
    #[error(transparent)]
    Lab(LabError),
    /// A host did not do what it was asked to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The sockets of a host could not be seen.
    #[error("look at the sockets of the {side}: {why}")]
    Look {
        /// Whose.
        side: Side,
        /// What went wrong.
        why: String,
    },
    /// A program ended, or did not come to where it was wanted.
    #[error("see {what}{}: {instead}", waited(*within))]
    Unseen {
        /// What was waited for.
        what: String,
        /// For how long; `None`: the program ended before.
        within: Option<Duration>,
        /// What came, with what the programs said.
        instead: String,
    },
    /// An act of the timeline failed.
    #[error("carry out \"{act}\": {why}")]
    Act {
        /// What.
        act: String,
        /// What went wrong.
        why: String,
    },
    /// The capture could not be written.
    #[error("write the capture {}: {cause}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
}

fn waited(within: Option<Duration>) -> String {
    match within {
        Some(within) => format!(" within {} s", within.as_secs()),
        None => ", and its program has ended".to_owned(),
    }
}

impl RehearsalError {
    fn act(act: &Act, why: impl ToString) -> Self {
        Self::Act { act: act.to_string(), why: why.to_string() }
    }
}

impl From<LabError> for RehearsalError {
    fn from(error: LabError) -> Self {
        match error {
            LabError::Missing(missing) => Self::Missing(missing),
            other => Self::Lab(other),
        }
    }
}
