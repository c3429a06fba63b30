//! Owns the machine whose clock leaps over idle time: an emulated computer that boots a real kernel
//! of Debian's, so that two hours of waiting pass in seconds.
//! Installs nothing, and touches no network of this machine's.
//! Read: the QEMU documentation's page on TCG instruction counting; initrd(4).

mod closure;
mod command;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod packages;
mod record;
mod scratch;
mod script;

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

pub use kernel::{Kernel, Source};
pub use record::Record;
pub use script::Step;

use self::{initramfs::Archive, machine::Files, scratch::Scratch};

/// What a machine has in the way of files, and what it does once it has booted.
#[derive(Debug, Default)]
pub struct Machine {
    archive: Archive,
    outlets: Vec<Outlet>,
}

/// A file that is made in a machine and wanted here.
#[derive(Debug)]
struct Outlet {
    inside: String,
    outside: PathBuf,
}

impl Machine {
    /// A machine with the programs that the lab uses itself.
    ///
    /// # Errors
    /// [`WarpError::Packages`] with the command that installs what is missing.
    pub fn new() -> Result<Self, WarpError> {
        packages::check()?;
        let mut machine = Self::default();
        for program in packages::INSIDE {
            if let Some(program) = packages::find(program) {
                machine.add_program(&program, "/usr/bin")?;
            }
        }
        for applet in script::APPLETS {
            machine.archive.link(&format!("/bin/{applet}"), "/usr/bin/busybox");
        }
        Ok(machine)
    }

    /// Adds a program of this host, put into `directory`, and the libraries that it is linked with at their own places.
    ///
    /// # Errors
    /// [`WarpError::File`] for what cannot be read.
    pub fn add_program(&mut self, program: &Path, directory: &str) -> Result<(), WarpError> {
        let Some(name) = program.file_name().and_then(|name| name.to_str()) else {
            return Err(WarpError::file(program, io::ErrorKind::InvalidFilename.into()));
        };
        self.add_program_as(program, &format!("{directory}/{name}"))
    }

    /// As [`Machine::add_program`], under a name of its own: whatever the program is called here,
    /// steps call it by that.
    ///
    /// # Errors
    /// [`WarpError::File`] for what cannot be read.
    pub fn add_program_as(&mut self, program: &Path, inside: &str) -> Result<(), WarpError> {
        let read = |path: &Path| fs::read(path).map_err(|cause| WarpError::file(path, cause));
        self.archive.file(inside, 0o755, read(program)?);
        for library in closure::libraries(program)? {
            self.archive.file(&library, 0o755, read(Path::new(&library))?);
        }
        Ok(())
    }

    /// Adds a file or a directory with all that is in it, at its own place; programs come with their libraries.
    ///
    /// # Errors
    /// [`WarpError::File`] for what cannot be read, [`WarpError::TooLarge`] beyond 512 MiB.
    pub fn add_path(&mut self, path: &Path) -> Result<(), WarpError> {
        let refused = |cause| WarpError::file(path, cause);
        let Some(name) = path.to_str() else {
            return Err(refused(io::ErrorKind::InvalidFilename.into()));
        };
        let kind = fs::symlink_metadata(path).map_err(refused)?;
        if kind.is_dir() {
            self.archive.directories([name]);
            for entry in fs::read_dir(path).map_err(refused)? {
                self.add_path(&entry.map_err(refused)?.path())?;
            }
        } else if kind.is_symlink() {
            let to = fs::read_link(path).map_err(refused)?;
            self.archive.link(name, &to.to_string_lossy());
        } else if kind.is_file() {
            let bytes = fs::read(path).map_err(refused)?;
            if bytes.starts_with(ELF) {
                for library in closure::libraries(path)? {
                    let bytes = fs::read(&library);
                    let bytes =
                        bytes.map_err(|cause| WarpError::file(Path::new(&library), cause))?;
                    self.archive.file(&library, 0o755, bytes);
                }
            }
            self.archive.file(name, kind.permissions().mode() & 0o777, bytes);
        }
        let bytes = self.archive.size();
        if bytes > BYTES_MAX { Err(WarpError::TooLarge { path: path.to_owned() }) } else { Ok(()) }
    }

    /// Adds every program of this host that a line for the shell names, as far as its words tell,
    /// and the interpreters of those that are scripts. What they load while they run has to be
    /// added by its path.
    ///
    /// # Errors
    /// As [`Machine::add_path`].
    pub fn add_command(&mut self, line: &str) -> Result<(), WarpError> {
        for word in command::words(line) {
            let path = if word.starts_with('/') {
                Some(PathBuf::from(word)).filter(|path| path.is_file())
            } else {
                // The shell's own commands and those of the machine are there already.
                packages::find(word).filter(|_| !script::APPLETS.contains(&word))
            };
            let Some(path) = path else { continue };
            self.add_program(&path, path.parent().and_then(Path::to_str).unwrap_or("/usr/bin"))?;
            let begins = fs::read(&path).map_err(|cause| WarpError::file(&path, cause))?;
            if let Some(interpreter) = command::interpreter(&begins) {
                self.add_command(&interpreter)?;
            }
        }
        Ok(())
    }

    /// A file of the machine's own.
    pub fn add_file(&mut self, path: &str, bytes: Vec<u8>) {
        self.archive.file(path, 0o644, bytes);
    }

    /// Has the file `inside` of the machine written to `outside` once it has ended, if it is there
    /// and not empty. Not more than 30: a controller has no more ports.
    pub fn bring_out(&mut self, inside: &str, outside: &Path) {
        self.outlets.push(Outlet { inside: inside.to_owned(), outside: outside.to_owned() });
    }

    /// Boots `kernel`, takes the `steps` one after the other, and returns what each said. The words of
    /// its console stay below `place`, an existing directory.
    ///
    /// # Errors
    /// [`WarpError`]; beyond the limit of real time [`WarpError::Overdue`].
    pub fn run(
        mut self,
        kernel: &Kernel,
        steps: &[Step],
        place: &Path,
        limits: &Limits<'_>,
    ) -> Result<Vec<Record>, WarpError> {
        let mut inserted = Vec::new();
        let ports = if self.outlets.is_empty() { &[][..] } else { script::PORT_MODULES };
        let wanted = script::MODULES.iter().chain(ports).chain(limits.modules).copied();
        let wanted = wanted.collect::<Vec<_>>();
        for module in modules::in_order(&kernel.modules, &wanted)? {
            let path = format!("/modules/{}.ko", module.name);
            self.archive.file(&path, 0o644, module.bytes);
            inserted.push(path);
        }
        self.archive.directories(["/proc", "/sys", "/dev", "/run", "/tmp"]);
        self.archive.console();
        let made: Vec<&str> = self.outlets.iter().map(|outlet| outlet.inside.as_str()).collect();
        self.archive.file("/init", 0o755, script::text(&inserted, steps, &made).into_bytes());
        let here = |cause| WarpError::file(place, cause);
        let scratch = || Scratch::new(place).map_err(here);
        let files = Files {
            initrd: scratch()?,
            console: scratch()?,
            results: scratch()?,
            ports: self.outlets.iter().map(|_| scratch()).collect::<Result<_, _>>()?,
        };
        fs::write(files.initrd.path(), self.archive.to_bytes()).map_err(here)?;
        let ran = machine::run(&kernel.image, &files, place, limits);
        // For whoever has to find out why it ended as it did; without it nothing else is wrong.
        let _ = files.console.read().and_then(|said| fs::write(place.join(machine::CONSOLE), said));
        ran?;
        for (outlet, port) in self.outlets.iter().zip(&files.ports) {
            let bytes = port.read().map_err(here)?;
            if !bytes.is_empty() {
                fs::write(&outlet.outside, bytes)
                    .map_err(|cause| WarpError::file(&outlet.outside, cause))?;
            }
        }
        let results = files.results.read().map_err(here)?;
        Ok(record::parse(&String::from_utf8_lossy(&results)))
    }
}

/// What a run of the machine is given.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// Real time, after which it is switched off.
    pub within: Duration,
    /// What its clock says when it is switched on, `YYYY-MM-DDTHH:MM:SS`, UTC.
    pub date: &'a str,
    /// Kernel modules beside those that every machine has.
    pub modules: &'a [&'a str],
}

/// Modules for the topologies and faults that let the kernel filter and translate.
pub const FIREWALL: &[&str] = &[
    "nf_tables",
    "nft_ct",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_reject_inet",
    "nft_numgen",
    "nf_conntrack_netlink",
];

/// 512 MiB of files: half of the machine's memory.
const BYTES_MAX: usize = 512 << 20;

/// How a program for the machine begins (elf(5)).
const ELF: &[u8] = b"\x7fELF";

/// Whether this host has what an emulated machine takes.
///
/// # Errors
/// As [`Machine::new`].
pub fn check() -> Result<(), WarpError> {
    packages::check()
}

/// Why a machine could not be built or did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WarpError {
    /// Programs are missing.
    #[error(
        "emulate a machine: programs are missing; \
         `apt-get install --no-install-recommends {packages}` brings them"
    )]
    Packages {
        /// Debian's packages that have them, separated by spaces.
        packages: String,
    },
    /// Not an x86-64.
    #[error("emulate a machine: the kernels are those of x86-64, and this machine is {here}")]
    Architecture {
        /// What this machine is.
        here: &'static str,
    },
    /// A file or directory could not be used.
    #[error("use {}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was answered.
        cause: io::Error,
    },
    /// A program failed.
    #[error("run {program}: {said}")]
    Program {
        /// Which.
        program: String,
        /// What it, or the kernel, said.
        said: String,
    },
    /// A file is not named like a Debian package.
    #[error("use {}: it is not named like a package, NAME_VERSION_ARCHITECTURE.deb", path.display())]
    NotAPackage {
        /// Which.
        path: PathBuf,
    },
    /// The kernel lacks a module.
    #[error("insert the module {name}: this kernel has none of that name; choose another kernel")]
    NoModule {
        /// The module.
        name: String,
    },
    /// Too many files.
    #[error(
        "add {} to the machine: with it there would be more than 512 MiB of files, which are all \
         kept in its memory; include less",
        path.display()
    )]
    TooLarge {
        /// What was too much.
        path: PathBuf,
    },
    /// The machine did not end.
    #[error(
        "wait for the machine: it did not end within {} s; its last words are in {}",
        within.as_secs(),
        console.display()
    )]
    Overdue {
        /// For how long it could run, in real time.
        within: Duration,
        /// What its console showed.
        console: PathBuf,
    },
}

impl WarpError {
    fn file(path: &Path, cause: io::Error) -> Self {
        Self::File { path: path.to_owned(), cause }
    }

    fn program(program: &str, said: &dyn fmt::Display) -> Self {
        Self::Program { program: program.to_owned(), said: said.to_string() }
    }
}
