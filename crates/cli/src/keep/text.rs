//! Owns the text face of `keep`: connections with the same plan in one block, then what is left
//! alone and why, then what was done or how to do it.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    time::Duration,
};

use halfopen_core::{
    Span,
    detection::{DetectionTime, Learns},
    keeping::{Harm, KeepOptions, Plan, Planned, Spread},
};

use super::{
    applying::{Applied, Watched},
    proposal::{Proposal, Proposed},
};
use crate::{
    render::{Paint, owner, pair, wrapped, write_missing},
    span::Short,
};

/// Writes the proposal, and what was done about it.
///
/// # Errors
/// If `out` cannot be written.
pub(super) fn write(
    out: &mut impl Write,
    proposal: &Proposal,
    applied: Option<&Applied>,
    covers_later: bool,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    let mut groups: Vec<(Key<'_>, Vec<Proposed<'_>>)> = Vec::new();
    let mut places = HashMap::new();
    for change in proposal.changes() {
        let key = Key::of(&change);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, group)) = groups.get_mut(place) {
            group.push(change);
        }
    }
    // The largest first: what is done to most is what matters most.
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
    for (key, group) in groups.iter().take(GROUPS_MAX) {
        write_group(out, key, group, width, paint)?;
    }
    if let Some(rest) = groups.get(GROUPS_MAX..).filter(|rest| !rest.is_empty()) {
        let count = rest.iter().map(|(_, group)| group.len()).sum();
        let (many, kinds) = (connections(count), rest.len());
        writeln!(out, "{many} in {kinds} other kinds (--json shows every one)\n")?;
    }
    write_left_alone(out, proposal, width)?;
    let count = proposal.changes().count();
    match applied {
        Some(applied) => write_done(out, applied, width, paint),
        None => write_how(out, proposal.spread, count, covers_later, width),
    }
}

/// More kinds of plans than these nobody reads.
const GROUPS_MAX: usize = 12;
/// Connections named in a block.
const NAMED_MAX: usize = 4;

/// `1 connection`, `2 connections`.
pub(super) fn connections(count: usize) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}

/// What connections of one block have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key<'a> {
    before: KeepOptions,
    after: KeepOptions,
    harms: &'a [Harm],
}

impl<'a> Key<'a> {
    fn of(change: &Proposed<'a>) -> Self {
        Self { before: change.before, after: change.after, harms: &change.plan.harms }
    }
}

fn write_group(
    out: &mut impl Write,
    key: &Key<'_>,
    group: &[Proposed<'_>],
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    writeln!(out, "{}", paint.heading(&connections(group.len())))?;
    for one in group.iter().take(NAMED_MAX) {
        let owner = owner(&one.diagnosis.observation.owners);
        writeln!(out, "  {}  {owner}", pair(one.diagnosis))?;
    }
    if group.len() > NAMED_MAX {
        writeln!(out, "  and {} more", group.len() - NAMED_MAX)?;
    }
    let before = learns(group, |plan| &plan.learns_before);
    let after = learns(group, |plan| &plan.learns_after);
    write!(out, "{}", wrapped("  learns   ", &format!("{before} -> {after}"), width))?;
    for (number, option) in options(key.before, key.after).enumerate() {
        let first = if number == 0 { "  options  " } else { "           " };
        writeln!(out, "{first}{option}")?;
    }
    let rate = group.iter().map(|one| one.plan.probes_per_hour).max().unwrap_or(0);
    let all = group.iter().map(|one| u64::from(one.plan.probes_per_hour)).sum::<u64>();
    let costs = match group.len() {
        1 => format!("{rate} probes an hour while idle"),
        _ => format!("{rate} probes an hour each while idle, {all} in all"),
    };
    write!(out, "{}", wrapped("  costs    ", &costs, width))?;
    for harm in key.harms {
        write!(out, "{}", wrapped("  harm     ", &harm.to_string(), width))?;
    }
    writeln!(out)
}

/// When a block's owners learn, idle and busy.
fn learns(group: &[Proposed<'_>], of: fn(&Plan) -> &DetectionTime) -> String {
    let idle = range(group.iter().map(|one| &of(one.plan).idle));
    let busy = range(group.iter().map(|one| &of(one.plan).busy));
    format!("idle {idle}, busy {busy}")
}

/// The shortest and the longest of what a block's owners learn.
fn range<'a>(all: impl Iterator<Item = &'a Learns>) -> String {
    let (mut least, mut most) = (None::<Duration>, None::<Duration>);
    let mut words = Vec::new();
    for learns in all {
        let word = match learns {
            Learns::Within(prediction) => {
                let within = prediction.within.max();
                least = Some(least.map_or(within, |least| least.min(within)));
                most = Some(most.map_or(within, |most| most.max(within)));
                continue;
            }
            Learns::Never(_) => "never",
            Learns::Unknown(_) => "?",
            Learns::NotApplicable(_) => "-",
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let mut parts: Vec<_> = words.into_iter().map(str::to_owned).collect();
    if let (Some(least), Some(most)) = (least, most) {
        let (least, most) = (Short(least).to_string(), Short(most).to_string());
        parts.push(if least == most { most } else { format!("{least} to {most}") });
    }
    parts.join(" or ")
}

/// The options that would change, by the names that tcp(7) and socket(7) give them.
fn options(before: KeepOptions, after: KeepOptions) -> impl Iterator<Item = String> {
    let word = |on: bool| if on { "on" } else { "off" }.to_owned();
    let timeout = |ms: u32| match ms {
        0 => "off".to_owned(),
        ms => Span(Duration::from_millis(ms.into())).to_string(),
    };
    [
        ("SO_KEEPALIVE", word(before.keepalive), word(after.keepalive)),
        ("TCP_KEEPIDLE", format!("{}s", before.idle_s), format!("{}s", after.idle_s)),
        ("TCP_KEEPINTVL", format!("{}s", before.interval_s), format!("{}s", after.interval_s)),
        ("TCP_KEEPCNT", before.probes.to_string(), after.probes.to_string()),
        ("TCP_USER_TIMEOUT", timeout(before.user_timeout_ms), timeout(after.user_timeout_ms)),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(name, before, after)| format!("{name} {before} -> {after}"))
}

fn write_left_alone(out: &mut impl Write, proposal: &Proposal, width: usize) -> io::Result<()> {
    let mut why: BTreeMap<String, usize> = BTreeMap::new();
    let mut met = 0;
    for planned in &proposal.each {
        match planned {
            Planned::Met(_) => met += 1,
            Planned::Refused(refusal) => *why.entry(refusal.to_string()).or_default() += 1,
            Planned::Change(_) => {}
        }
    }
    if met > 0 {
        writeln!(out, "{}: the objective is met already", connections(met))?;
    }
    let loopback = proposal.picture.hidden.loopback;
    if loopback > 0 {
        let refusal = halfopen_core::keeping::Refusal::Loopback;
        *why.entry(refusal.to_string()).or_default() += loopback;
    }
    for (why, count) in why {
        let text = format!("{} left alone: {why}", connections(count));
        write!(out, "{}", wrapped("", &text, width))?;
    }
    write_missing(out, &proposal.picture, width)
}

fn write_how(
    out: &mut impl Write,
    spread: Option<Spread>,
    count: usize,
    covers_later: bool,
    width: usize,
) -> io::Result<()> {
    if count == 0 && !covers_later {
        return writeln!(out, "Nothing is to be changed.");
    }
    let steps = spread.filter(|spread| spread.steps(count) > 1).map(|spread| {
        format!(
            " It would begin in {} steps of {}, {} in all, so that never more than {} probe at once.",
            spread.steps(count),
            Span(spread.step),
            Span(spread.takes(count)),
            connections(spread.per_step),
        )
    });
    let text = format!(
        "Nothing is changed. --apply does it, and `halfopen keep --undo` puts everything back.{}",
        steps.unwrap_or_default()
    );
    write!(out, "{}", wrapped("", &text, width))
}

fn write_done(
    out: &mut impl Write,
    applied: &Applied,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    let done = applied.done();
    let text =
        format!("{} changed. `halfopen keep --undo` puts the old options back.", connections(done));
    match applied.watched {
        Some(watched) if watched.rolled_back => write_alarm(out, watched, width, paint)?,
        _ => write!(out, "{}", wrapped("", &text, width))?,
    }
    if let Some(watched) = applied.watched.filter(|watched| !watched.rolled_back) {
        let text = format!(
            "Watched for {}: {} connections ended by timers, {} packets dropped by full backlogs; \
             no more than before.",
            Span(watched.watched_for),
            watched.rise.aborts,
            watched.rise.drops
        );
        write!(out, "{}", wrapped("", &text, width))?;
    }
    let mut failures: BTreeMap<String, usize> = BTreeMap::new();
    let errors = applied.outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().err());
    errors.for_each(|error| *failures.entry(error.to_string()).or_default() += 1);
    for (why, count) in failures {
        let text = format!("{} not changed: {why}", connections(count));
        write!(out, "{}", wrapped("", &text, width))?;
    }
    Ok(())
}

fn write_alarm(
    out: &mut impl Write,
    watched: Watched,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    let text = format!(
        "After {} timers had ended {} connections and full backlogs had dropped {} packets, more \
         than before: the old options are put back.",
        Span(watched.watched_for),
        watched.rise.aborts,
        watched.rise.drops
    );
    writeln!(out, "{}", paint.heading("Rolled back."))?;
    write!(out, "{}", wrapped("", &text, width))?;
    if watched.stuck > 0 {
        let many = connections(watched.stuck);
        writeln!(out, "{many} could not be put back; `halfopen keep --undo` tries again.")?;
    }
    Ok(())
}
