//! Owns the machine whose clock leaps over idle time: an emulated computer that boots a real kernel
//! of Debian's, so that two hours of waiting pass in seconds.
//! Installs nothing, and touches no network of this machine's.
//! Read: the QEMU documentation's page on TCG instruction counting; initrd(4).

mod closure;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod packages;
mod record;
mod script;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use kernel::{Kernel, Source};
pub use record::Record;
pub use script::Step;

use self::initramfs::Archive;

/// What a machine has in the way of files, and what it does once it has booted.
#[derive(Debug, Default)]
pub struct Machine {
    archive: Archive,
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
        let read = |path: &Path| fs::read(path).map_err(|cause| WarpError::file(path, cause));
        let Some(name) = program.file_name().and_then(|name| name.to_str()) else {
            return Err(WarpError::file(program, io::ErrorKind::InvalidFilename.into()));
        };
        self.archive.file(&format!("{directory}/{name}"), 0o755, read(program)?);
        for library in closure::libraries(program)? {
            self.archive.file(&library, 0o755, read(Path::new(&library))?);
        }
        Ok(())
    }

    /// Boots `kernel`, takes the `steps` one after the other, and returns what each said. Logs stay below `place`.
    ///
    /// # Errors
    /// [`WarpError`]; after `within` of real time [`WarpError::Overdue`].
    pub fn run(
        mut self,
        kernel: &Kernel,
        steps: &[Step],
        place: &Path,
        within: Duration,
    ) -> Result<Vec<Record>, WarpError> {
        let mut inserted = Vec::new();
        for module in modules::in_order(&kernel.modules, script::MODULES)? {
            let path = format!("/modules/{}.ko", module.name);
            self.archive.file(&path, 0o644, module.bytes);
            inserted.push(path);
        }
        self.archive.directories(["/proc", "/sys", "/dev", "/run", "/tmp"]);
        self.archive.console();
        self.archive.file("/init", 0o755, script::text(&inserted, steps).into_bytes());
        let initrd = place.join("initramfs");
        fs::write(&initrd, self.archive.to_bytes())
            .map_err(|cause| WarpError::file(&initrd, cause))?;
        Ok(record::parse(&machine::run(&kernel.image, &initrd, place, within)?))
    }
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
