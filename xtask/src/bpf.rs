//! Owns the compilation of the BPF programs and the comparison with the committed object, so that
//! whoever builds halfopen needs no clang. Loads nothing. Read: crates/sys/bpf/*.bpf.c.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What to do with the compiled object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Put it in the place of the committed one.
    Compile,
    /// Compare it with the committed one, byte for byte.
    Check,
}

pub(crate) fn run(task: Task) -> ExitCode {
    match perform(task) {
        Ok(said) => {
            println!("bpf: {said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("bpf: {why}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<String, String> {
    let sources = sources();
    let note = sources.join("compiler.txt");
    let compiler = version()?;
    if task == Task::Check {
        let committed = fs::read_to_string(&note).map_err(|error| in_file(&note, &error))?;
        // Two compilers give two objects, each as good as the other.
        if committed.trim() != compiler {
            return Ok(format!(
                "not compared: the committed object is of {}, here is {compiler}",
                committed.trim()
            ));
        }
    }
    for program in PROGRAMS {
        let object = sources.join(format!("{program}.bpf.o"));
        let built = env::temp_dir().join(format!("halfopen-{}.bpf.o", std::process::id()));
        let outcome = compile(&sources, program, &built).and_then(|()| match task {
            Task::Compile => replace(&built, &object),
            Task::Check => compare(&built, &object),
        });
        let _ = fs::remove_file(&built);
        outcome?;
    }
    Ok(match task {
        Task::Compile => {
            fs::write(&note, format!("{compiler}\n")).map_err(|error| in_file(&note, &error))?;
            format!("compiled by {compiler}; commit crates/sys/bpf")
        }
        Task::Check => "the committed objects are what their sources compile to".to_owned(),
    })
}

/// The programs, each of which is one source and one object.
const PROGRAMS: [&str; 3] = ["future", "keep", "sockets"];

fn sources() -> PathBuf {
    // `cargo xtask` runs in the clone that it was called in, which may share its target directory.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    PathBuf::from(here).join("../crates/sys/bpf")
}

fn version() -> Result<String, String> {
    let output = Command::new("clang").arg("--version").output().map_err(|error| lacks(&error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

fn compile(sources: &Path, program: &str, built: &Path) -> Result<(), String> {
    // The type information names files as the compiler was given them: relative to the sources, and
    // no directory of this machine. What is for debuggers only, and does name them, is stripped.
    let mut clang = Command::new("clang");
    clang
        .current_dir(sources)
        .args(["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror"])
        .args(["-fdebug-compilation-dir=.", "-c"])
        .arg(format!("{program}.bpf.c"))
        .arg("-o")
        .arg(built);
    succeed(&mut clang)?;
    succeed(Command::new("llvm-strip").arg("-g").arg(built))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} failed: {status}", command.get_program().display())),
        Err(error) => Err(lacks(&error)),
    }
}

fn replace(built: &Path, object: &Path) -> Result<(), String> {
    fs::copy(built, object).map(drop).map_err(|error| in_file(object, &error))
}

fn compare(built: &Path, object: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read(path).map_err(|error| in_file(path, &error));
    if read(built)? == read(object)? {
        Ok(())
    } else {
        Err(format!(
            "{} is not what its source compiles to: run `make bpf` and commit",
            object.display()
        ))
    }
}

fn in_file(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn lacks(error: &io::Error) -> String {
    format!(
        "the compiler cannot be run: {error}; install the packages clang, llvm and libbpf-dev \
         (`apt-get install clang llvm libbpf-dev`), or run `make bpf`, which does"
    )
}
