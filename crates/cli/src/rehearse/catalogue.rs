//! Owns `rehearse list` and `rehearse explain`: what there is, and what is known of it.

use std::io::Write;

use halfopen_lab::{
    fault::{CATALOGUE, Entry, Group},
    scenario, timeline,
};

use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
    render::wrapped,
    terminal::Terminal,
};

/// Names every scenario that is built in, and every fault.
///
/// # Errors
/// [`Failure::Output`].
pub(super) fn list(out: &mut impl Write) -> Result<Exit, Failure> {
    let width = Terminal::of_stdout().width;
    writeln!(out, "Scenarios that are built in (`halfopen rehearse NAME`):\n")?;
    for name in scenario::builtin_names() {
        let summary = match scenario::builtin(name, &[]) {
            Some(Ok(scenario)) => scenario.summary,
            _ => continue,
        };
        write!(out, "{}", wrapped(&format!("  {name:<34}"), &summary, width))?;
    }
    writeln!(out, "\nFaults for scenarios of your own (`halfopen rehearse explain FAULT`):")?;
    for group in Group::ALL {
        let entries = CATALOGUE.iter().filter(|entry| entry.group == group);
        for (number, entry) in entries.enumerate() {
            if number == 0 {
                writeln!(out, "\n  {}", group.word())?;
            }
            write!(out, "{}", wrapped(&format!("    {:<16}", entry.name), entry.what, width))?;
        }
    }
    Ok(Exit::Fine)
}

/// Explains a scenario or a fault.
///
/// # Errors
/// [`Failure::Usage`] where there is none of that name.
pub(super) fn explain(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    let Some(subject) = &arguments.subject else {
        return Err(Failure::Usage(
            "explain what? name a scenario or a fault of `halfopen rehearse list`".to_owned(),
        ));
    };
    if let Some(entry) = Entry::named(subject) {
        explain_fault(entry, out)?;
    } else {
        let named = Rehearse { what: subject.clone(), ..arguments.clone() };
        let scenario = super::scenario::read(&named)?;
        out.write_all(timeline::script(&scenario).as_bytes())?;
        let width = Terminal::of_stdout().width;
        for entry in scenario.steps.iter().filter_map(|step| step.fault.entry()) {
            writeln!(out)?;
            write!(out, "{}", wrapped("What it puts on the wire: ", entry.wire, width))?;
            write!(out, "{}", wrapped("What is learnt: ", entry.learns, width))?;
        }
        if let Some(text) = scenario::builtin_text(subject) {
            writeln!(out, "\nIts file, to begin your own with:\n\n{text}")?;
        }
    }
    Ok(Exit::Fine)
}

fn explain_fault(entry: &Entry, out: &mut impl Write) -> Result<(), Failure> {
    let width = Terminal::of_stdout().width;
    write!(out, "{}", wrapped(&format!("{}: ", entry.name), entry.what, width))?;
    write!(out, "{}", wrapped("On the wire: ", entry.wire, width))?;
    write!(out, "{}", wrapped("What is learnt: ", entry.learns, width))?;
    write!(out, "{}", wrapped("How it is done: ", entry.how, width))?;
    for parameter in entry.parameters {
        let default = parameter.default.map(|default| format!(" [default: {default}]"));
        let text =
            format!("{} ({}){}", parameter.means, parameter.values, default.unwrap_or_default());
        write!(out, "{}", wrapped(&format!("  {:<11}", parameter.key), &text, width))?;
    }
    Ok(())
}
