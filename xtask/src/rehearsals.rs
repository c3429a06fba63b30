//! Writes the report cards of docs/rehearsals anew, and docs/fault-table.md: each page has the commands that
//! make its cards, and they are run as they stand there, one after the other, since a busy machine measures
//! itself.
//! Owns what is replaced on a page. Must not    change a command, or keep a card of a failed run.
//! Read        docs/rehearsals/README.md.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

/// Writes the pages of these names (`redis`, `fault-table`), or all, with the program that is built.
pub(crate) fn run(names: &[&str]) -> ExitCode {
    match write_all(names) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(misses) => {
            eprintln!(
                "rehearsals: {misses} cards say that a kernel did not as predicted; read them"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("rehearsals: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn write_all(names: &[&str]) -> Result<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent")?;
    let built = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--quiet", "-p", "halfopen-cli"])
        .status()
        .context("run cargo")?;
    ensure!(built.success(), "the program could not be built");
    make_key()?;
    let folder = root.join("docs/rehearsals");
    let load = load()?;
    let mut pages: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pages.sort();
    let is_meant = |path: &Path| {
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        name != "README" && (names.is_empty() || names.contains(&name))
    };
    let mut misses = 0;
    for path in pages.iter().filter(|path| is_meant(path)) {
        let text = fs::read_to_string(path)?;
        let written = page(&text, |command| measure(root, command), version)
            .with_context(|| format!("write {}", path.display()))?;
        misses += written.matches("as predicted  NO").count();
        fs::write(path, written)?;
    }
    if names.is_empty() || names.contains(&FAULT_TABLE) {
        let table = measure(root, "halfopen rehearse all")?;
        misses += table.matches(" MISS\n").count();
        let path = root.join(format!("docs/{FAULT_TABLE}.md"));
        fs::write(path, format!("{TABLE_HEAD}```text\n{table}```\n"))?;
    }
    if names.is_empty() {
        let readme = folder.join("README.md");
        let text = fs::read_to_string(&readme)?;
        fs::write(&readme, with_load(&text, &load)?)?;
    }
    Ok(misses)
}

/// The page of the matrix.
const FAULT_TABLE: &str = "fault-table";

const TABLE_HEAD: &str = "\
# Every fault, predicted and measured

What `halfopen rehearse all` prints: each fault, with its parameters where they change what comes of it, in
each state in which that makes a difference, with timers of seconds (keepalive 1s/1s/3, tcp_retries2 = 3) and
the built-in pair. Seconds count from the fault. *predicted* is what `halfopen-core` says of the socket's own
options, or what decides where the kernel does not; *kernel* and *application* are when, and by what, each was
told; [rehearsing faults](rehearse.md) explains the words.

";

/// The page with every card measured anew, and the versions of the packages on its third line.
fn page(
    text: &str,
    mut measure: impl FnMut(&str) -> Result<String>,
    version: impl Fn(&str) -> Result<String>,
) -> Result<String> {
    let mut written = String::new();
    let mut lines = text.lines().enumerate();
    let mut command: Option<String> = None;
    while let Some((number, line)) = lines.next() {
        if number == 2 {
            written += &versions(line, &version)?;
            continue;
        }
        written += line;
        written.push('\n');
        if line != "```sh" && line != "```text" {
            continue;
        }
        let block: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        match (line, command.take()) {
            ("```text", Some(command)) => written += &measure(&command)?,
            ("```sh", _) => {
                let said = block.join("\n");
                written += &format!("{said}\n");
                command = said.starts_with("halfopen rehearse").then_some(said);
            }
            _ => bail!("line {}: a card without a command above it", number + 1),
        }
        written += "```\n";
    }
    ensure!(command.is_none(), "the last command has no card below it");
    Ok(written)
}

/// `name version, name version.` with the versions that are installed.
fn versions(line: &str, version: impl Fn(&str) -> Result<String>) -> Result<String> {
    let names = line.trim_end_matches('.').split(", ").filter_map(|one| one.split(' ').next());
    let told: Vec<String> =
        names.map(|name| Ok(format!("{name} {}", version(name)?))).collect::<Result<_>>()?;
    Ok(format!("{}.\n", told.join(", ")))
}

fn version(package: &str) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .output()
        .context("run dpkg-query")?;
    ensure!(output.status.success(), "the package {package} is not installed");
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command as it stands on its page. A card whose expectation is not met is a card too.
fn measure(root: &Path, command: &str) -> Result<String> {
    eprintln!("rehearsals: {}", command.lines().next().unwrap_or_default());
    let path = env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", root.join("target/debug").display()))
        .stdin(Stdio::null())
        .output()
        .context("run sh")?;
    let said = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(matches!(output.status.code(), Some(0 | 1)) && !said.is_empty(), "{}", errors.trim());
    Ok(without_build(&said))
}

/// The release of the kernel, without what its builder added.
fn without_build(card: &str) -> String {
    let line =
        |line: &str| match line.strip_prefix("kernel ").and_then(|rest| rest.split_once(", ")) {
            Some((release, rest)) => {
                format!("kernel {}, {rest}\n", release.split('-').next().unwrap_or(release))
            }
            None => format!("{line}\n"),
        };
    card.lines().map(line).collect()
}

/// The key by which ssh's page lets its client in.
fn make_key() -> Result<()> {
    let key = Path::new("/var/tmp/rehearse/key");
    if key.exists() {
        return Ok(());
    }
    fs::create_dir_all("/var/tmp/rehearse")?;
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(key)
        .status()
        .context("run ssh-keygen")?;
    ensure!(made.success(), "ssh-keygen made no key");
    Ok(())
}

/// How much the machine had to do beside.
fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let load = text.split(' ').next().unwrap_or_default().to_owned();
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{load} on {cores} cores"))
}

/// The README with the load at which the cards were measured.
fn with_load(text: &str, load: &str) -> Result<String> {
    let begins = "The load of the machine before the first was ";
    let (before, rest) = text.split_once(begins).context("README.md does not tell the load")?;
    let (_, after) = rest.split_once(".\n").context("README.md does not end the load")?;
    Ok(format!("{before}{begins}{load}.\n{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\n\na 1, b 2.\n\nText.\n\n```sh\nhalfopen rehearse one \\\n    --set x=1\n```\n\n```text\nold\n```\n\nEnd.\n";

    fn written(text: &str) -> Result<String> {
        let measure = |command: &str| Ok(format!("card of {} lines\n", command.lines().count()));
        page(text, measure, |name| Ok(format!("new-{name}")))
    }

    #[test]
    fn cards_and_versions_are_new_and_everything_else_is_as_it_was() {
        let new = written(PAGE).unwrap();
        assert_eq!(
            new,
            PAGE.replace("old", "card of 2 lines").replace("a 1, b 2", "a new-a, b new-b")
        );
        assert_eq!(written(&new).unwrap(), new);
    }

    #[test]
    fn a_card_without_a_command_and_a_command_without_a_card_are_refused() {
        assert!(written(&PAGE.replace("halfopen", "echo")).is_err());
        assert!(written(&PAGE.replace("```text\nold\n```\n", "")).is_err());
    }

    #[test]
    fn the_kernel_is_told_without_what_its_builder_added() {
        assert_eq!(
            without_build("a\nkernel 6.18.44-x-7, topology nat\n"),
            "a\nkernel 6.18.44, topology nat\n"
        );
    }

    #[test]
    fn the_load_is_told_in_the_readme() {
        let readme = include_str!("../../docs/rehearsals/README.md");
        assert!(with_load(readme, "0.1 on 2 cores").unwrap().contains("was 0.1 on 2 cores.\n"));
    }
}
