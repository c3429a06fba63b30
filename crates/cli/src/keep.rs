//! Owns the verb `keep`: from an objective to options on connections of running programs, shown
//! first, set on demand, and put back by `--undo`.

mod alarm;
mod applying;
mod document;
mod future;
mod list;
mod proposal;
mod record;
mod text;
mod undo;

use std::{io::Write, path::Path, time::Duration};

use halfopen_core::{OptionsSeen, keeping::Objective};

use self::{
    applying::Applied, document::Document, future::Later, proposal::Proposal, record::Record,
};
use crate::{
    args::{Keep, SortKey},
    audit::Audit,
    exit::{Exit, Failure},
    look::Look,
    picture::Picture,
    render::json,
    select::Selection,
    terminal::Terminal,
};

/// Keeps connections.
///
/// # Errors
/// [`Failure`] where the objective cannot be, nothing is chosen or matches, the host cannot be
/// looked at, or what is done cannot be recorded.
pub(crate) fn run(arguments: &Keep, out: &mut impl Write) -> Result<Exit, Failure> {
    if arguments.undo {
        return undo::run(arguments, out);
    }
    if arguments.list {
        return list::run(arguments, out);
    }
    let objective = objective(arguments)?;
    let selection = Selection::new(&arguments.selectors);
    if !selection.narrows() && !arguments.all {
        return Err(Failure::Usage(
            "keep needs to be told which connections: narrow them down, e.g. --process NAME or \
             --peer ADDR, or say --all"
                .to_owned(),
        ));
    }
    let picture = look(arguments, selection.clone())?;
    if picture.connections.is_empty() && picture.hidden.loopback == 0 {
        return Err(Failure::NoSuchConnection(
            "no connection matches; `halfopen ls` with the same flags shows those that do"
                .to_owned(),
        ));
    }
    let mut proposal = Proposal::new(picture, objective, halfopen_sys::backlog_max());
    let mut later = arguments.future.then(|| Later::of(&proposal, arguments.selectors.loopback));
    let is_short = |later: &Option<Later>| later.as_ref().is_some_and(Later::covers_nothing);
    if !arguments.acting.apply {
        show(arguments, &proposal, None, later.as_ref(), out)?;
        let wrong = proposal.is_refused_as_too_many() || is_short(&later);
        return Ok(if wrong { Exit::Problem } else { Exit::Fine });
    }
    refuse_blindness(&proposal)?;
    let audit = Audit::open(arguments.acting.audit.as_deref())?;
    let mut record = Record::open(arguments.record.as_deref())?;
    if let Some(later) = &mut later {
        later.attach(&audit)?;
        // What was opened between the look and this is in a second one.
        let picture = look(arguments, selection)?;
        proposal = Proposal::new(picture, objective, halfopen_sys::backlog_max());
    }
    let watch_for = arguments.watch_for.map(|given| given.0);
    let applied = applying::apply(&proposal, &audit, &mut record, watch_for)?;
    show(arguments, &proposal, Some(&applied), later.as_ref(), out)?;
    let missed = applied.failed() > 0 || applied.watched.is_some_and(|seen| seen.rolled_back);
    let wrong = missed || proposal.is_refused_as_too_many() || is_short(&later);
    Ok(if wrong { Exit::Problem } else { Exit::Fine })
}

fn look(arguments: &Keep, selection: Selection) -> Result<Picture, Failure> {
    let look = Look::new(selection, &arguments.looking, &Default::default(), SortKey::Local);
    look.of_the_chosen().take()
}

fn objective(arguments: &Keep) -> Result<Objective, Failure> {
    let Some(detect_within) = arguments.detect_within.map(|given| given.0) else {
        return Err(Failure::Usage("keep needs --detect-within DUR, or --undo".to_owned()));
    };
    let survive_idle = arguments.survive_idle.map(|given| given.0);
    if survive_idle.is_some_and(|forgets| forgets < SURVIVE_MIN) {
        return Err(Failure::Usage(
            "--survive-idle must be 5s or more: probes are sent whole seconds apart".to_owned(),
        ));
    }
    Ok(Objective { detect_within, survive_idle, user_timeout: arguments.user_timeout })
}

/// One second to the first probe, one to the next if it is lost, and what timers may be late.
const SURVIVE_MIN: Duration = Duration::from_secs(5);

/// Where nothing could be read for lack of privilege, that is the answer.
fn refuse_blindness(proposal: &Proposal) -> Result<(), Failure> {
    let connections = &proposal.picture.connections;
    let unread = |seen: &OptionsSeen| matches!(seen, OptionsSeen::Unread(_));
    let all_unread = connections.iter().all(|one| unread(&one.observation.options));
    if connections.is_empty() || !all_unread {
        return Ok(());
    }
    Err(Failure::Privilege(
        "cannot read the options of any of these connections, so nothing is changed: needs \
         CAP_SYS_PTRACE (run as root)"
            .to_owned(),
    ))
}

fn show(
    arguments: &Keep,
    proposal: &Proposal,
    applied: Option<&Applied>,
    later: Option<&Later>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if arguments.face.json {
        json::write_document(out, &Document::of(proposal, applied, later))?;
    } else {
        let terminal = Terminal::of_stdout();
        let paint = terminal.paint(arguments.face.color);
        if let Some(later) = later {
            future::write(out, later, terminal.width, paint)?;
        }
        let width = terminal.width;
        text::write(
            out,
            proposal,
            applied,
            later.is_some_and(|it| !it.covers_nothing()),
            width,
            paint,
        )?;
    }
    out.flush()?;
    Ok(())
}

/// Where a file of this verb lies, if nobody says otherwise.
fn own_file(name: &str) -> Result<std::path::PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(Path::new("/var/lib/halfopen").join(name));
    }
    // The XDG specification: a relative path is invalid and is to be ignored.
    let absolute = |name| {
        std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .ok_or_else(|| {
            Failure::Usage(
                "cannot remember what was there before, so nothing is changed: neither \
                 XDG_STATE_HOME nor HOME is set; name a file with --record"
                    .to_owned(),
            )
        })?;
    Ok(state.join("halfopen").join(name))
}
