//! Owns `rehearse --clock warp`: the same rehearsal, by this same program, inside a machine whose
//! clock leaps over idle time. What it says there is what is shown here.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use halfopen_lab::{
    scenario::Scenario,
    warp::{self, Kernel, Limits, Machine, Record, Source, Step, WarpError},
};

use super::{clock::Plan, progress};
use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
};

/// An empty machine, and the kernel for it.
pub(super) struct Warp {
    machine: Machine,
    kernel: Kernel,
    place: PathBuf,
}

impl Warp {
    /// Sees to it that there is a machine.
    ///
    /// # Errors
    /// [`Failure::System`] with what is missing.
    pub(super) fn ready() -> Result<Self, Failure> {
        let machine = Machine::new().map_err(failed)?;
        let place = place()?;
        let kernel = Kernel::fetch(Source::Suite(KERNEL), &place, &mut progress).map_err(failed)?;
        Ok(Self { machine, kernel, place })
    }

    /// Does the rehearsal in the machine and passes on what it said there.
    ///
    /// # Errors
    /// [`Failure`] where it failed in there.
    pub(super) fn run(
        self,
        arguments: &Rehearse,
        scenario: &Scenario,
        plan: &Plan,
        out: &mut impl Write,
    ) -> Result<Exit, Failure> {
        let Self { mut machine, kernel, place } = self;
        furnish(&mut machine, arguments, scenario).map_err(failed)?;
        progress(&format!(
            "Linux {} boots in an emulated machine; while it idles its clock leaps, so that hours take seconds",
            kernel.release
        ));
        let why = plan.why().unwrap_or_else(|| "it was asked for".to_owned());
        let command = line(arguments, scenario, &why);
        let step = Step { name: "rehearse".to_owned(), command };
        let date = arguments.date.as_deref().unwrap_or(DATE);
        let within = arguments.real_limit.map_or(WITHIN, |given| given.0);
        let limits = Limits { within, date, modules: warp::FIREWALL };
        let records = machine.run(&kernel, &[step], &place, &limits).map_err(failed)?;
        pass_on(records.first(), &place, out)
    }
}

fn failed(error: WarpError) -> Failure {
    Failure::System(format!("cannot warp the clock: failed to {error}"))
}

/// The files that the rehearsal writes: the flag, where it writes them in the machine, and where
/// they are wanted here.
fn files(arguments: &Rehearse) -> impl Iterator<Item = (&'static str, &'static str, &Path)> {
    let Rehearse { html, svg, capture, .. } = arguments;
    let files = [
        ("html", "/tmp/card.html", html),
        ("svg", "/tmp/sequence.svg", svg),
        ("capture", "/tmp/capture.pcapng", capture),
    ];
    files
        .into_iter()
        .filter_map(|(flag, inside, outside)| Some((flag, inside, outside.as_deref()?)))
}

/// What the machine needs beside what the lab does.
fn furnish(
    machine: &mut Machine,
    arguments: &Rehearse,
    scenario: &Scenario,
) -> Result<(), WarpError> {
    let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    machine.add_program_as(&program, "/usr/bin/halfopen")?;
    // Those that the lab may ask for; what is missing here is missing there, and is said there.
    machine.add_command("nft conntrack ss dnsmasq timeout env")?;
    for file in ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/services"] {
        let file = Path::new(file);
        if file.is_file() {
            machine.add_path(file)?;
        }
    }
    // To be covered by those of the lab's hosts.
    machine.add_file("/etc/hosts", b"127.0.0.1 localhost\n".to_vec());
    machine.add_file("/etc/resolv.conf", Vec::new());
    for party in [&scenario.server, &scenario.client] {
        if let Some(command) = &party.command {
            machine.add_command(command)?;
        }
    }
    for path in &arguments.include {
        machine.add_path(path)?;
    }
    let scenario = Path::new(&arguments.what);
    if scenario.is_file() {
        let text = fs::read(scenario);
        let text = text.map_err(|cause| WarpError::File { path: scenario.to_owned(), cause })?;
        machine.add_file(SCENARIO, text);
    }
    for (_, inside, outside) in files(arguments) {
        machine.bring_out(inside, outside);
    }
    Ok(())
}

/// The line for the machine's shell: this rehearsal, by that machine's own clock.
fn line(arguments: &Rehearse, scenario: &Scenario, why: &str) -> String {
    let is_file = Path::new(&arguments.what).is_file();
    let what = if is_file { SCENARIO } else { arguments.what.as_str() };
    let mut words = vec!["halfopen".to_owned(), "rehearse".to_owned(), what.to_owned()];
    let mut add = |flag: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("--{flag}={value}")));
    };
    add("server", arguments.server.clone());
    add("client", arguments.client.clone());
    add("server-ready", arguments.server_ready.clone());
    add("seed", arguments.seed.map(|seed| seed.to_string()));
    let millis = |given: crate::span::Given| format!("{}ms", given.0.as_millis());
    add("expect-detect-within", arguments.expect_detect_within.map(millis));
    for set in arguments.settings() {
        add("set", Some(set));
    }
    // The last one wins: it is that of the file and the flags, unless what is foreseen takes longer.
    add("set", Some(format!("stop.limit={}ms", scenario.stop.limit.as_millis())));
    for (flag, inside, _) in files(arguments) {
        add(flag, Some(inside.to_owned()));
    }
    add("clock", Some("real".to_owned()));
    add("in-machine", Some(why.to_owned()));
    if arguments.expect_no_loss {
        words.push("--expect-no-loss".to_owned());
    }
    if arguments.face.json {
        words.push("--json".to_owned());
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as the shell reads it whole.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What the program said in there, and how it exited.
fn pass_on(record: Option<&Record>, place: &Path, out: &mut impl Write) -> Result<Exit, Failure> {
    let ended_early = || {
        let console = place.join("console.log");
        Failure::System(format!(
            "cannot warp the clock: the machine ended before the rehearsal did; its last words are in {}",
            console.display()
        ))
    };
    let record = record.ok_or_else(ended_early)?;
    if !record.stdout.is_empty() {
        writeln!(out, "{}", record.stdout)?;
    }
    out.flush()?;
    for said in record.stderr.lines().filter(|said| !said.contains(" may take ")) {
        eprintln!("{said}");
    }
    match record.code.ok_or_else(ended_early)? {
        0 => Ok(Exit::Fine),
        1 => Ok(Exit::Problem),
        75 => Ok(Exit::TryAgain),
        code => Err(Failure::System(format!("the rehearsal in the machine exited with {code}"))),
    }
}

/// Where the kernel is kept between runs.
fn place() -> Result<PathBuf, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let place = cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("halfopen/warp");
    match fs::create_dir_all(&place) {
        Ok(()) => Ok(place),
        Err(cause) => Err(Failure::System(format!(
            "cannot warp the clock: make {}: {cause}; set XDG_CACHE_HOME to a directory that can be written",
            place.display()
        ))),
    }
}

/// Where a scenario that is a file lies in the machine.
const SCENARIO: &str = "/scenario.toml";

/// Debian's kernel for emulated machines: it has everything that the lab uses, and little else.
const KERNEL: &str = "linux-image-cloud-amd64";

/// A Friday evening: whoever waits long enough meets a Saturday.
const DATE: &str = "2026-11-20T18:00:00";

/// Real time: a week of a quiet pair takes some minutes.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reaches_the_machines_shell_whole() {
        let arguments = Rehearse {
            what: "nat-forgets".to_owned(),
            client: Some("sh -c 'echo \"$SERVER\"'".to_owned()),
            set: vec!["stop.limit=9000s".to_owned()],
            expect_no_loss: true,
            svg: Some(PathBuf::from("/home/me/picture.svg")),
            ..Rehearse::default()
        };
        let scenario =
            halfopen_lab::scenario::builtin("nat-forgets", &arguments.set).unwrap().unwrap();
        assert_eq!(
            line(&arguments, &scenario, "it's long"),
            r#"'halfopen' 'rehearse' 'nat-forgets' '--client=sh -c '\''echo "$SERVER"'\''' '--set=stop.limit=9000s' '--set=stop.limit=9000000ms' '--svg=/tmp/sequence.svg' '--clock=real' '--in-machine=it'\''s long' '--expect-no-loss'"#
        );
    }
}
