//! Owns turning what was recorded into the card. Reads the last state of hosts and programs, and
//! changes nothing.

use std::time::Duration;

use halfopen_core::{Moment, Span, TcpState};

use super::{
    BySide, RehearsalError, look::Look, notice, party::Count, picture::picture, stage::Stage,
};
use crate::{
    card::{
        Card, Expectation, Happened, Left, Messages, Predicted, RESOLUTION, SAID_MAX, Said,
        SideCard,
    },
    fault::{Fault, Side},
    forecast::{By, Foreseen, fails},
    pair::Told,
    scenario::{Scenario, State, Step, When, in_one_line},
    topology::SECOND_SERVER,
    wire::Middlebox,
};

/// What is recorded while the timeline runs.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) first_fault: Option<Moment>,
    /// Where the connection stood then, as its kernels counted.
    pub(super) state: Option<State>,
    /// When something was done, and what.
    pub(super) acts: Vec<(Moment, String)>,
    /// By how much the latest act came after its time.
    pub(super) latest_act: Duration,
    /// What each side had right before.
    pub(super) before: BySide<Look>,
    pub(super) looks: BySide<Look>,
    /// How often each side was looked at.
    pub(super) looked: BySide<u8>,
    /// What was changed for the sake of the rehearsal.
    pub(super) notes: Vec<String>,
    /// What was foreseen, and how long after the first fault.
    pub(super) foreseen: BySide<(Foreseen, Duration)>,
}

impl Record {
    /// The fault that is in force at `at`: the last that has come.
    pub(super) fn fault_at<'a>(
        &self,
        scenario: &'a Scenario,
        from: Moment,
        at: Moment,
    ) -> Option<&'a Fault> {
        steps_until(scenario, at.since(from)).map(|step| &step.fault).last()
    }

    /// The middlebox that is in the path at `at`, if one is.
    pub(super) fn middlebox_at<'a>(
        &self,
        scenario: &'a Scenario,
        from: Moment,
        at: Moment,
    ) -> Option<&'a Middlebox> {
        let middlebox = |step: &'a Step| match &step.fault {
            Fault::Middlebox { middlebox } => Some(&**middlebox),
            _ => None,
        };
        steps_until(scenario, at.since(from)).filter_map(middlebox).last()
    }
}

/// The steps that have come by then.
pub(super) fn steps_until(scenario: &Scenario, elapsed: Duration) -> impl Iterator<Item = &Step> {
    let has_come = move |step: &&Step| match step.when {
        When::BeforeClient => true,
        When::AfterEstablished(then) => then <= elapsed,
    };
    scenario.steps.iter().filter(has_come)
}

/// The card.
pub(super) fn card(
    scenario: &Scenario,
    stage: &mut Stage<'_>,
    record: Record,
    ended: &'static str,
) -> Result<Card, RehearsalError> {
    stage.listen();
    stage.watch.dump(&stage.lab)?;
    let now = halfopen_sys::now();
    let from = record.first_fault.unwrap_or(now);
    let sides: Vec<_> =
        Side::BOTH.into_iter().map(|side| side_card(stage, &record, side, from)).collect();
    let is_pair = scenario.is_of_pair();
    let messages = is_pair.then(|| messages(stage));
    let late = late(stage, &record);
    let expectations = expectations(scenario, &sides, messages, (now.since(from), late));
    let picture = picture(stage, &record, from);
    let notes = notes(stage, &record, &sides);
    Ok(Card {
        scenario: scenario.name.clone(),
        summary: scenario.summary.clone(),
        topology: scenario.plan.word(),
        family: scenario.family.word(),
        clock: stage.options.clock.word(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        state: if is_pair { Some(scenario.pair.state) } else { record.state }.map(State::word),
        acts: record
            .acts
            .iter()
            .map(|(at, what)| Happened { at: at.since(from), what: what.clone() })
            .collect(),
        sides,
        messages,
        said: said(stage, from),
        expectations,
        watched: now.since(from),
        ended,
        late,
        picture,
        notes: clock_note(stage).into_iter().chain(record.notes).chain(notes).collect(),
    })
}

fn side_card(stage: &Stage<'_>, record: &Record, side: Side, from: Moment) -> SideCard {
    let happened = |at: Moment, what: String| Happened { at: at.since(from), what };
    let look = record.looks.get(side);
    let predicted = match record.foreseen.get(side) {
        _ if stage.has_lost_power(side) => Predicted::of(&Foreseen::Fails, Duration::ZERO),
        Some((foreseen, since)) => Predicted::of(foreseen, *since),
        None if stage.scenario.steps.iter().any(|step| fails(&step.fault, side)) => {
            Predicted::of(&Foreseen::Fails, Duration::ZERO)
        }
        None => {
            let why = "it has no connection to look at".to_owned();
            Predicted::of(&Foreseen::Unknown { why }, Duration::ZERO)
        }
    };
    let kernel = notice::of_kernel(stage, side, from);
    let application = notice::of_application(stage, side, from);
    let measured = kernel.as_ref().map(|kernel| (kernel.at.since(from), kernel.by));
    // Who closed of its own accord has taken the decision out of the kernel's hands.
    let was_faster = predicted.kind == "within" && measured.is_none() && application.is_some();
    // What was said of an idle connection does not hold for one on which its program writes.
    let since_look = look.map_or(from, |look| look.at);
    let wrote = predicted.kind == "never"
        && measured.is_some()
        && stage.spoke(side).is_some_and(|at| at > since_look);
    let watched = halfopen_sys::now().since(from);
    let was_left = is_by_the_other_program(stage, record, side, from, measured);
    let fits = match predicted.fits(measured, watched) {
        _ if was_faster || wrote => None,
        Some(false) if was_left => None,
        fits => fits,
    };
    // Whoever looks or acts too late cannot say that the kernel did.
    let too_late = fits == Some(false) && late(stage, record).is_some();
    let again = stage.watch.established_again(side, from);
    SideCard {
        side,
        command: stage.command(side).map_or_else(
            || format!("the built-in {side}, {}", stage.scenario.pair.state.word()),
            in_one_line,
        ),
        began: record.before.get(side).or(look).map(|look| look.words.clone()),
        traffic: record.before.get(side).map(|look| look.traffic.clone()),
        if_writing: look
            .filter(|_| matches!(predicted.kind, "within" | "never"))
            .and_then(Look::if_writing),
        predicted,
        wire: wire(stage, side, from).map(|(at, what)| happened(at, what)),
        kernel: kernel.map(|kernel| happened(kernel.at, kernel.words)),
        application: application.map(|(at, what)| happened(at, what)),
        believes: believes(stage, side),
        as_predicted: fits.filter(|_| !too_late),
        too_late,
        again: again.map(|at| happened(at, "has a connection again".to_owned())),
        left: left(stage, side),
    }
}

/// How late the lab itself was at worst, on a machine that has too much to do; `None`: in time.
fn late(stage: &Stage<'_>, record: &Record) -> Option<Duration> {
    let latest = record.latest_act.max(stage.watch.longest_gap());
    (latest > RESOLUTION).then_some(latest)
}

/// A FIN or RST came since the other program closed or ended of its own accord, which no kernel decides.
fn is_by_the_other_program(
    stage: &Stage<'_>,
    record: &Record,
    side: Side,
    from: Moment,
    measured: Option<(Duration, By)>,
) -> bool {
    let other = side.other();
    let is_told = matches!(measured, Some((_, By::Fin | By::Reset)));
    let fails = matches!(record.foreseen.get(other), Some((Foreseen::Fails, _)));
    let left = || notice::of_leaving(stage, other, from).map(|at| at.since(from));
    let is_soon = |left: Duration| measured.is_some_and(|(at, _)| left <= at + notice::SLACK);
    stage.command(other).is_some() && is_told && !fails && left().is_some_and(is_soon)
}

/// The first FIN or RST on the connection's cable, from whichever side.
fn wire(stage: &Stage<'_>, side: Side, from: Moment) -> Option<(Moment, String)> {
    let port = stage.watch.focus(side)?.last.endpoints.local.port();
    let mut events = stage.on_wire(side).iter();
    let first = events
        .find(|event| event.at > from && event.port == Some(port) && (event.fin || event.rst))?;
    let what = if first.rst { "RST" } else { "FIN" };
    let who = if first.to_host { "from the other side" } else { "from its own kernel" };
    let lost = if first.delivered { "" } else { ", lost" };
    Some((first.at, format!("{what} {who}{lost}")))
}

fn believes(stage: &Stage<'_>, side: Side) -> String {
    if !stage.is_on(side) {
        return "it has no power".to_owned();
    }
    match stage.watch.focus(side) {
        _ if stage.has_lost_power(side) => "nothing of its former life".to_owned(),
        Some(track) if track.gone.is_none() => format!("holds it: {}", track.last.state),
        Some(_) => "holds nothing of it".to_owned(),
        None => "never had a connection".to_owned(),
    }
}

fn left(stage: &Stage<'_>, side: Side) -> Left {
    let is_held = |state: TcpState| !matches!(state, TcpState::TimeWait | TcpState::SynReceived);
    let tracks = stage.watch.tracks(side).iter();
    let held = tracks
        .filter(|track| track.of_before && track.gone.is_none() && is_held(track.last.state))
        .count();
    let connections = if stage.has_lost_power(side) { 0 } else { held };
    let before = stage.party(side).before.filter(|_| !stage.has_lost_power(side));
    let now = before.and_then(|_| Some(Count::of(&stage.programs(side)?)));
    let more = |of: fn(&Count) -> i64| {
        now.as_ref().zip(before.as_ref()).map(|(now, before)| of(now) - of(before))
    };
    Left {
        connections,
        descriptors: more(|count| count.descriptors),
        processes: more(|count| count.processes),
    }
}

fn messages(stage: &Stage<'_>) -> Messages {
    let sent = &stage.party(Side::Client).sent;
    let read = stage.read();
    let count = |numbers: usize| numbers as u64;
    Messages {
        sent: count(sent.len()),
        read: count(read.len()),
        lost: count(sent.iter().filter(|number| !read.contains_key(number)).count()),
        doubled: count(read.values().filter(|times| **times > 1).count()),
    }
}

/// What each side said after the fault, its beginning and its end; the pair's everyday numbers say nothing.
fn said(stage: &Stage<'_>, from: Moment) -> Vec<Said> {
    let mut said: Vec<_> = Side::BOTH
        .into_iter()
        .flat_map(|side| {
            let is_news = |text: &str| {
                let told = Told::from_line(text);
                stage.command(side).is_some() || matches!(told, None | Some(Told::Ended(_)))
            };
            let lines = stage.party(side).said.iter().filter(move |line| line.at > from);
            let news: Vec<_> =
                lines.filter(|line| is_news(&line.text) && !line.text.is_empty()).collect();
            // The first tells what went wrong, and the last what came of it: a stack trace ends with its cause.
            let skipped = news.len().saturating_sub(SAID_MAX);
            let told = news.into_iter().enumerate();
            told.filter(move |(number, _)| *number == 0 || *number > skipped).map(
                move |(_, line)| Said { at: line.at.since(from), side, line: line.text.clone() },
            )
        })
        .collect();
    said.sort_by_key(|said| said.at);
    said
}

fn clock_note(stage: &Stage<'_>) -> Option<String> {
    let why = stage.options.clock_because.as_ref()?;
    Some(format!("clock {}: {why}", stage.options.clock.word()))
}

fn notes(stage: &Stage<'_>, record: &Record, sides: &[SideCard]) -> Vec<String> {
    let mut notes = Vec::new();
    let is_in_doubt = sides.iter().any(|side| side.too_late);
    if let Some(late) = late(stage, record).filter(|_| is_in_doubt) {
        notes.push(format!(
            "the lab itself was up to {} late, as on a busy machine: no miss is held against a kernel",
            Span(late)
        ));
    }
    if let Some(count) = stage.connections_of_second() {
        let plural = if count == 1 { "" } else { "s" };
        notes.push(format!("in the end {SECOND_SERVER} holds {count} connection{plural}"));
    }
    let flooded = stage.flooded_most();
    if flooded > 0 {
        notes.push(format!(
            "at most {flooded} embryonic connections of senders that do not exist were in the server's queue"
        ));
    }
    if stage.flood.is_some() {
        let host = stage.lab.host(Side::Server.word()).ok();
        let counters = host.and_then(|host| host.enter(halfopen_sys::counters).ok()?.ok());
        notes.push(counters.and_then(|counters| counters.syn_cookies_sent).map_or_else(
            || "the server's kernel does not say how many SYN cookies it sent".to_owned(),
            |sent| format!("{sent} SYN cookies were sent by the server's kernel"),
        ));
    }
    notes
}

fn expectations(
    scenario: &Scenario,
    sides: &[SideCard],
    messages: Option<Messages>,
    seen: (Duration, Option<Duration>),
) -> Vec<Expectation> {
    let mut all = Vec::new();
    for side in sides {
        let limit = match side.side {
            Side::Client => scenario.expect.client_within,
            Side::Server => scenario.expect.server_within,
        };
        // The side that fails has nothing to notice.
        let Some(limit) = limit.filter(|_| side.predicted.kind != "fails") else { continue };
        let noticed = side.application.as_ref().or(side.kernel.as_ref()).map(|what| what.at);
        all.push(Expectation::to_notice(side.side, limit, noticed, seen));
    }
    if scenario.expect.no_loss {
        let (met, instead) = match messages {
            Some(messages) => (
                messages.lost == 0 && messages.doubled == 0,
                format!("{} lost, {} doubled", messages.lost, messages.doubled),
            ),
            None => (false, "only the built-in pair counts its messages".to_owned()),
        };
        let what = "nothing is lost or doubled".to_owned();
        all.push(Expectation { what, met: Some(met), instead });
    }
    all
}
