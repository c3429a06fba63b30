//! Owns the verb `prove`: which connections are tested, by which method, and how that ends.
//! Sends nothing itself (see `driver`); what is proved is decided in `halfopen_core::proving`.
//! Read: docs/tasks/my-client-hangs.md.

mod answer;
mod driver;
mod fleet;
mod progress;
mod space;

use std::{io::Write, sync::mpsc::Receiver};

use halfopen_core::{
    Diagnosis, Observation, OptionsSeen, Source,
    proving::{Means, Method, Patience, Unprovable, choose, patience_for},
};
use halfopen_sys::{Privilege, Sources, probe::Target};

use self::progress::Progress;
pub(crate) use self::{
    answer::{Answer, Proved},
    driver::Ran,
};
use crate::{
    args::{MethodKey, Probing, Prove, SortKey},
    exit::{Exit, Failure},
    look::Look,
    picture::Picture,
    render::{counted, json, write_proved, write_proved_sum},
    select::Selection,
    signals,
    span::Given,
    terminal::Terminal,
};

/// Tests connections.
///
/// # Errors
/// [`Failure`] where nothing is selected, nothing may be tested, or the host cannot be looked at.
pub(crate) fn run(arguments: &Prove, out: &mut impl Write) -> Result<Exit, Failure> {
    let patience = patience(&arguments.probing)?;
    let selection = Selection::new(&arguments.selectors);
    if !arguments.all && !selection.chooses() {
        return Err(Failure::Usage(
            "say which connections to test, e.g. --peer 10.0.0.7 or --process myclient; --all \
             tests every connection of the host"
                .to_owned(),
        ));
    }
    // From here on a signal ends the run in good order, with everything put back.
    let ends = signals::listen(false)?;
    let how = Look::new(selection, &arguments.looking, &arguments.judging, SortKey::default());
    let (picture, cases) = look(how, forced(&arguments.probing), patience)?;
    if cases.is_empty() {
        return Err(nothing_selected(&picture));
    }
    let terminal = Terminal::of_stdout();
    let paint = terminal.paint(arguments.face.color);
    let mut proved = Vec::with_capacity(cases.len());
    test(cases, patience, &ends, &mut |one| {
        if !arguments.face.json {
            write_proved(out, &one, paint)?;
            out.flush()?;
        }
        proved.push(one);
        Ok(())
    })?;
    if arguments.face.json {
        let document = json::ProveDocument::of(&picture, &proved, patience);
        json::write_document(out, &document)?;
    } else {
        write_proved_sum(out, &picture, &proved, terminal.width)?;
    }
    out.flush()?;
    ends_with(&proved)
}

/// Tests what is to be tested, says on standard error what that does and how far it has come, and
/// hands over each answer as it comes. After a signal the rest are told as undecided.
///
/// # Errors
/// [`Failure`] where nothing could be written down before it is touched, or what `tell` returns.
pub(crate) fn test(
    cases: Vec<Case>,
    patience: Patience,
    ends: &Receiver<i32>,
    tell: &mut dyn FnMut(Proved) -> Result<(), Failure>,
) -> Result<Ran, Failure> {
    let mut progress = Progress::begin(&cases, patience);
    let ran = fleet::run(cases, ends, &mut |one, left| {
        progress.clear();
        tell(one)?;
        progress.tell(left);
        Ok(())
    })?;
    progress.clear();
    Ok(ran)
}

/// 1 if a peer is gone; 3 if privilege was all that was missing, everywhere.
fn ends_with(proved: &[Proved]) -> Result<Exit, Failure> {
    if proved.iter().any(|one| one.answer.is_dead()) {
        return Ok(Exit::Problem);
    }
    let refused = |one: &Proved| one.answer == Answer::Unprovable && one.lacks_privilege;
    if proved.iter().all(refused) {
        return Err(Failure::Privilege(format!(
            "cannot test {}, which other users' processes hold; run it as root (CAP_SYS_PTRACE and \
             CAP_NET_ADMIN)",
            counted(proved.len(), "connection", "connections")
        )));
    }
    Ok(Exit::Fine)
}

/// How many probes, and how far apart.
///
/// # Errors
/// [`Failure::Usage`] if they would be closer than a peer answers.
pub(crate) fn patience(probing: &Probing) -> Result<Patience, Failure> {
    let default = Patience::default();
    let probes = probing.probes.unwrap_or(default.probes());
    let interval = probing.interval.map_or(default.interval(), |Given(interval)| interval);
    let patience = Patience::new(probes, interval);
    if patience.interval() != interval {
        return Err(Failure::Usage(
            "--interval must be 1s at least: a peer answers at most one probe in 500ms, so closer \
             ones would prove nothing"
                .to_owned(),
        ));
    }
    Ok(patience)
}

/// The only method that is wanted, if one was named.
pub(crate) fn forced(probing: &Probing) -> Option<Method> {
    probing.method.map(|key| match key {
        MethodKey::WindowProbe => Method::WindowProbe,
        MethodKey::Keepalive => Method::KeepaliveOneShot,
        MethodKey::CraftedAck => Method::CraftedAck,
    })
}

/// One connection that was selected, as it was before anything was touched.
#[derive(Debug)]
pub(crate) struct Case {
    /// What was seen, and what followed from it.
    pub before: Diagnosis,
    /// The way to its descriptor, if a process holds it.
    pub target: Option<Target>,
    /// What to do with it.
    pub plan: Plan,
}

impl Case {
    /// A connection that is to be tested by this method.
    pub(crate) fn to_probe(before: Diagnosis, method: Method, patience: Patience) -> Self {
        let patience = patience_for(method, &before.observation, patience);
        let target = Target::of(&before.observation);
        Self { target, plan: Plan::Probe(method, patience), before }
    }
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The peer was heard within a second: that is an answer.
    Heard,
    /// Test it.
    Probe(Method, Patience),
    /// It cannot be tested.
    Leave(Unprovable),
}

/// Looks at the host and plans: the connections that were in the picture are cases, in its order.
/// Where some could be tested if their sequence numbers were known, looks once more, through BPF.
///
/// # Errors
/// As [`Look::take`].
pub(crate) fn look(
    look: Look,
    forced: Option<Method>,
    patience: Patience,
) -> Result<(Picture, Vec<Case>), Failure> {
    let mut look = look.of_the_chosen();
    let privilege = halfopen_sys::privilege();
    let mut picture = look.take()?;
    let mut cases = cases(&mut picture, forced, patience, privilege);
    let would_help = |case: &Case| match case.plan {
        Plan::Leave(why) => matches!(
            why,
            Unprovable::NoDescriptor
                | Unprovable::UserTimeoutHazard
                | Unprovable::KeepaliveSpent
                | Unprovable::MethodDoesNotFit(Method::CraftedAck)
        ),
        _ => false,
    };
    let by_bpf = |case: &Case| case.before.observation.sample.source == Source::Bpf;
    let is_first = look.sources == Sources::Auto && !cases.iter().any(by_bpf);
    if is_first && cases.iter().any(would_help) {
        look.sources = Sources::Bpf;
        // Without BPF the first look stands.
        if let Ok(better) = look.take() {
            picture = better;
            cases = self::cases(&mut picture, forced, patience, privilege);
        }
    }
    Ok((picture, cases))
}

/// What to say where no connection is meant that there is.
pub(crate) fn nothing_selected(picture: &Picture) -> Failure {
    let hidden = match picture.hidden.loopback {
        0 => String::new(),
        many => format!(" ({many} of this host to itself are left out: --loopback includes them)"),
    };
    Failure::NoSuchConnection(format!(
        "no such connection now{hidden}; `halfopen ls` shows those there are"
    ))
}

fn cases(
    picture: &mut Picture,
    forced: Option<Method>,
    patience: Patience,
    privilege: Privilege,
) -> Vec<Case> {
    std::mem::take(&mut picture.connections)
        .into_iter()
        .map(|before| {
            let seen = &before.observation;
            let target = Target::of(seen);
            let plan = match choose(seen, means(seen, target.as_ref(), privilege), forced) {
                _ if was_just_heard(seen) => Plan::Heard,
                Ok(method) => Plan::Probe(method, patience_for(method, seen, patience)),
                Err(why) => Plan::Leave(why),
            };
            Case { target, plan, before }
        })
        .collect()
}

fn means(seen: &Observation, target: Option<&Target>, privilege: Privilege) -> Means {
    let may_duplicate = privilege.sys_ptrace || matches!(seen.options, OptionsSeen::Read(_));
    Means {
        descriptor: target.is_some() && may_duplicate,
        net_admin: privilege.net_admin,
        net_raw: privilege.net_raw,
        sequence: seen.sample.inside.sequence.is_some(),
    }
}

/// A probe would tell nothing that is not known.
fn was_just_heard(seen: &Observation) -> bool {
    use halfopen_core::TcpState::{CloseWait, Established, FinWait2};
    let open = [Established, CloseWait, FinWait2].contains(&seen.sample.state);
    open && seen.sample.last_heard().is_some_and(|ago| ago < JUST)
}

/// What a probe would show of a peer that lives is no newer than this when it is read.
const JUST: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests;
