//! Owns the words for connections that are yet to come.

use std::io::{self, Write};

use halfopen_core::{Span, keeping::KeepOptions};

use super::{Covered, Later, Plan};
use crate::render::{Paint, escaped, wrapped};

/// Writes what connections that are opened later are given, and where; or why they are not.
///
/// # Errors
/// If `out` cannot be written.
pub(in super::super) fn write(
    out: &mut impl Write,
    later: &Later,
    width: usize,
    paint: Paint,
) -> io::Result<()> {
    writeln!(out, "{}", paint.heading("Connections opened later"))?;
    match &later.plan {
        Err(why) => write!(out, "{}", wrapped("  not covered: ", &escaped(why), width))?,
        Ok(plan) => write_plan(out, plan, width)?,
    }
    writeln!(out)
}

fn write_plan(out: &mut impl Write, plan: &Plan, width: usize) -> io::Result<()> {
    for one in &plan.cgroups {
        write!(out, "{}", wrapped("  ", &escaped(&covered(one)), width))?;
        match &one.outcome {
            Some(Err(why)) => write!(out, "{}", wrapped("    failed: ", &escaped(why), width))?,
            Some(Ok(())) => writeln!(out, "    covered from now on")?,
            None => {}
        }
    }
    if !plan.cgroups.is_empty() {
        let given = options(plan.future.options);
        write!(out, "{}", wrapped("  options  ", &given, width))?;
        let room = format!(
            "for {} of them at a time, {} in the same {}; others are left as they are, since so \
             many probes at once would overflow the host's own backlog",
            plan.future.room(),
            plan.future.per_slot,
            Span(plan.future.slot),
        );
        write!(out, "{}", wrapped("  room     ", &room, width))?;
        let harm = "applications that set options of their own later override these";
        write!(out, "{}", wrapped("  note     ", harm, width))?;
    }
    for why in &plan.left_alone {
        write!(out, "{}", wrapped("  not covered: ", &escaped(why), width))?;
    }
    if plan.cgroups.is_empty() && plan.left_alone.is_empty() {
        let why = "no process was seen that holds a chosen connection";
        write!(out, "{}", wrapped("  not covered: ", why, width))?;
    }
    Ok(())
}

fn covered(one: &Covered) -> String {
    let named: Vec<_> = one
        .chosen
        .iter()
        .take(NAMED_MAX)
        .map(|(command, pid)| format!("{command}/{pid}"))
        .collect();
    let others = match one.processes.saturating_sub(named.len()) {
        0 => String::new(),
        1 => " and 1 other process".to_owned(),
        many => format!(" and {many} other processes"),
    };
    let before = match one.before {
        Some(before) => format!(" (so far {})", options(before)),
        None => String::new(),
    };
    format!("cgroup {}: {}{others}{before}", one.cgroup.name(), named.join(", "))
}

/// The options as one clause.
pub(in super::super) fn options(given: KeepOptions) -> String {
    let KeepOptions { idle_s, interval_s, probes, user_timeout_ms, .. } = given;
    let mut text = format!(
        "SO_KEEPALIVE on, TCP_KEEPIDLE {idle_s}s, TCP_KEEPINTVL {interval_s}s, TCP_KEEPCNT {probes}"
    );
    if user_timeout_ms > 0 {
        let timeout = std::time::Duration::from_millis(user_timeout_ms.into());
        text.push_str(&format!(", TCP_USER_TIMEOUT {}", Span(timeout)));
    }
    text
}

/// Processes named for a cgroup.
const NAMED_MAX: usize = 4;
