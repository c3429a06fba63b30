//! A page with commands and what they print. A block that begins with "```console" has lines
//! `$ COMMAND`, each followed by its output; a line `<!-- lab: EVENT -->` is something that happens in
//! the lab between two blocks.
//!
//! What a page shows was printed by one run, but for the machine's name. Another run prints the same but
//! for what [`steady`] takes out: spans of time, process numbers, ids, ports that the kernel chose, the
//! order of connections, and where long lines break or end. `HALFOPEN_WRITE_EXAMPLES=1` writes the whole
//! page anew if anything differs beyond that, so that a port stays the same from its top to its end.

use halfopen_lab::Host;

use super::PATIENCE;
use crate::program;

/// Runs every command of the page `name` of docs/tasks on `host`, and fails where another thing is printed.
pub(super) fn play(name: &str, host: &Host, happens: &mut dyn FnMut(&str)) {
    let path = format!("{}/../../docs/tasks/{name}.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).unwrap();
    let mut played = String::new();
    let mut lines = page.lines().peekable();
    let (mut commands, mut differences) = (0, String::new());
    while let Some(line) = lines.next() {
        played += &format!("{line}\n");
        if let Some(event) =
            line.strip_prefix("<!-- lab: ").and_then(|rest| rest.strip_suffix(" -->"))
        {
            happens(event);
        }
        if line != "```console" {
            continue;
        }
        while let Some(line) = lines.next_if(|line| !line.starts_with("```")) {
            let Some(command) = line.strip_prefix("$ ") else {
                assert!(line.trim().is_empty(), "{path}: output without a command: {line}");
                continue;
            };
            let mut shown = String::new();
            while let Some(line) =
                lines.next_if(|line| !line.starts_with("```") && !line.starts_with("$ "))
            {
                shown += &format!("{line}\n");
            }
            let printed = run(host, command);
            let (page_has, lab_has) = (steady(&shown), steady(&printed));
            if page_has != lab_has {
                differences += &format!("$ {command}\n{}", changed(&page_has, &lab_has));
            }
            let is_last = lines.peek().is_none_or(|line| line.starts_with("```"));
            let gap = if is_last { "" } else { "\n" };
            played += &format!("$ {command}\n{}\n{gap}", printed.trim_end());
            commands += 1;
        }
    }
    assert!(commands > 0, "{path} has no command");
    if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_none() {
        assert!(differences.is_empty(), "{path} is not what the lab shows:\n{differences}");
    } else if !differences.is_empty() {
        std::fs::write(&path, &played).unwrap();
    }
}

/// The lines that only one of the two has.
fn changed(page: &[String], lab: &[String]) -> String {
    let of = |mark: char, some: &[String], others: &[String]| {
        let only = some.iter().filter(|line| !others.contains(line));
        only.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    of('-', page, lab) + &of('+', lab, page)
}

/// What the command writes, to both of its streams.
fn run(host: &Host, command: &str) -> String {
    let directory = program().parent().unwrap().display().to_string();
    let path = format!("PATH={directory}:{}", std::env::var("PATH").unwrap());
    let words = [&path, "NO_COLOR=1", "sh", "-c", &format!("{{ {command}\n}} 2>&1")];
    let mut shell = host.spawn("env", &words).unwrap();
    let mut text = String::new();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = format!("{}: ", name.trim());
    while let Some(line) = shell.line(PATIENCE) {
        // How far it is at some moment is nothing to compare.
        if !line.text.ends_with("connections known") {
            let named = line.text.strip_prefix(&name).map(|rest| format!("myhost: {rest}"));
            text += &format!("{}\n", named.unwrap_or(line.text));
        }
    }
    assert!(shell.ended(PATIENCE).unwrap().is_some(), "{command} does not end: {text}");
    text
}

/// The lines of `text`, continued ones as one, without what differs from run to run.
fn steady(text: &str) -> Vec<String> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words: Vec<_> = line.split_whitespace().map(word).collect();
        if line.ends_with('…') {
            // As much of the last column is shown as the others leave room for.
            words.truncate(COLUMNS);
        }
        match lines.last_mut() {
            Some(last) if line.starts_with(CONTINUED) => last.append(&mut words),
            _ => lines.push(words),
        }
    }
    let mut lines: Vec<_> = lines.into_iter().map(|words| without_micros(&words)).collect();
    lines.sort_unstable();
    lines
}

/// Those of a table before the one that is cut off.
const COLUMNS: usize = 6;
/// A line that begins so goes on with the one before.
const CONTINUED: &str = "      ";

/// A number and its unit in two words.
fn without_micros(words: &[String]) -> String {
    let line = words.join(" ");
    let mut steady = Vec::new();
    for word in line.split(' ') {
        if word == "us" && steady.last().is_some_and(|last: &&str| is_number(last)) {
            steady.pop();
            steady.push("<time>");
        } else {
            steady.push(word);
        }
    }
    steady.join(" ")
}

fn word(word: &str) -> String {
    let bare = word.trim_end_matches([',', ';', ':', '.']);
    if bare.split('/').any(is_span) {
        let parts = bare.split('/').map(|part| if is_span(part) { "<time>" } else { part });
        return parts.collect::<Vec<_>>().join("/");
    }
    if let Some((cookie, netns)) = bare.split_once('@')
        && cookie.chars().all(|one| one.is_ascii_hexdigit())
        && is_number(netns)
    {
        return "<id>".to_owned();
    }
    if let Some((name, pid)) = bare.rsplit_once('/')
        && is_number(pid)
        && !name.contains('.')
    {
        return format!("{name}/<pid>");
    }
    let ends: Vec<_> = word.split("->").map(end).collect();
    ends.join("->")
}

/// An end of a connection, without a port that the kernel chose.
fn end(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((address, port)) if port.parse::<u16>().is_ok_and(|port| port >= 32_768) => {
            format!("{address}:<port>")
        }
        _ => text.to_owned(),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|one| one.is_ascii_digit())
}

/// A span as the program writes it: 12ms, 0.4ms, 2.3s, 1m30s, 2h13m.
fn is_span(text: &str) -> bool {
    let mut units = text.split(|one: char| one.is_ascii_digit() || one == '.');
    let starts = text.starts_with(|one: char| one.is_ascii_digit());
    let ends = text.ends_with(|one: char| one.is_ascii_lowercase());
    starts && ends && units.all(|unit| ["", "ms", "s", "m", "h", "d", "us"].contains(&unit))
}

#[test]
fn only_what_differs_from_run_to_run_is_taken_out() {
    let one =
        "quiet 10.0.1.1:53124->10.0.2.7:5432 worker/12, heard 2.3s ago; 2a@4026532001 12 us\nb";
    let other = "b\nquiet  10.0.1.1:40000->10.0.2.7:5432\n      worker/7, heard 1m30s ago; 3b@4026532777 7 us";
    assert_eq!(steady(one), steady(other));
    for changed in [
        one.replace("quiet", "alive"),
        one.replace("5432", "5433"),
        one.replace("worker", "other"),
        one.replace("2.3s", "never"),
    ] {
        assert_ne!(steady(one), steady(&changed), "{changed}");
    }
}
