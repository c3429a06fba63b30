//! Owns where the kernel comes from: a Debian package that is downloaded and unpacked, never installed.
//! Read: apt-get(8), apt-cache(8), dpkg-deb(1).

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::WarpError;

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// The package that holds it.
    pub package: String,
    /// What `uname -r` says there.
    pub release: String,
    /// The compressed image.
    pub image: PathBuf,
    /// Its directory below /lib/modules.
    pub modules: PathBuf,
}

/// Where a kernel comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A package of this machine's suite, by its name; also one that only depends on a kernel's.
    Suite(&'a str),
    /// A package that was downloaded before, from wherever it is still to be had.
    File(&'a str),
}

impl Kernel {
    /// The kernel of `source`, unpacked below `place`, which exists. `progress` is told what takes its time.
    ///
    /// # Errors
    /// [`WarpError`], where it cannot be looked up, downloaded or unpacked.
    pub fn fetch(
        source: Source<'_>,
        place: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, WarpError> {
        let package = match source {
            Source::Suite(name) => {
                // Where it is not found, `apt-get update` brings new lists.
                let listed = output("apt-cache", &["depends", "--important", name], place)?;
                stands_for(&listed).unwrap_or(name).to_owned()
            }
            Source::File(path) => package_of(Path::new(path))?,
        };
        let unpacked = place.join(&package);
        if !unpacked.join("boot").is_dir() {
            let archive = match source {
                Source::Suite(_) => download(&package, place, progress)?,
                Source::File(path) => PathBuf::from(path),
            };
            progress(&format!("unpack {}", archive.display()));
            let [archive, to] = [&archive, &unpacked].map(|path| path.as_os_str());
            output("dpkg-deb", &[OsStr::new("--extract"), archive, to], Path::new("."))?;
        }
        let image = only(&unpacked.join("boot"), |name| name.starts_with("vmlinuz-"))?;
        let modules = only(&unpacked.join("lib/modules"), |_| true)?;
        let release = modules.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        Ok(Self { package, release, image, modules })
    }
}

fn download(
    package: &str,
    place: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, WarpError> {
    progress(&format!("download {package} (not installed)"));
    // The download belongs to whoever runs this, so apt's own user has no business in it.
    let words = ["download", "--quiet", "-o", "APT::Sandbox::User=root", package];
    output("apt-get", &words, place)?;
    only(place, |name| name.starts_with(&format!("{package}_")) && name.ends_with(".deb"))
}

/// The name of the package in a file that is named like `NAME_VERSION_ARCHITECTURE.deb`.
fn package_of(file: &Path) -> Result<String, WarpError> {
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match name.split_once('_') {
        Some((package, rest)) if rest.ends_with(".deb") => Ok(package.to_owned()),
        _ => Err(WarpError::NotAPackage { path: file.to_owned() }),
    }
}

/// The kernel package that a package like `linux-image-cloud-amd64` depends on, in the words of `apt-cache depends`.
fn stands_for(listed: &str) -> Option<&str> {
    listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
}

/// The one entry of `directory` that fits.
fn only(directory: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf, WarpError> {
    let refused = |cause| WarpError::file(directory, cause);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        if entry.file_name().to_str().is_some_and(&fits) {
            found.push(entry.path());
        }
    }
    // Of several downloads of one package the newest has the highest version, as a rule.
    found.sort();
    found.pop().ok_or_else(|| refused(io::ErrorKind::NotFound.into()))
}

/// What a command writes to its standard output.
fn output<S: AsRef<OsStr>>(program: &str, words: &[S], place: &Path) -> Result<String, WarpError> {
    let output = Command::new(program)
        .current_dir(place)
        .env("LC_ALL", "C")
        .args(words)
        .output()
        .map_err(|cause| WarpError::program(program, &cause))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(WarpError::program(program, &said.trim().replace('\n', "; ")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_package_is_the_first_part_of_its_files_name() {
        let name = |file: &str| package_of(Path::new(file)).ok();
        let file = "/tmp/linux-image-5.10.0-32-cloud-amd64_5.10.223-1_amd64.deb";
        assert_eq!(name(file).as_deref(), Some("linux-image-5.10.0-32-cloud-amd64"));
        assert_eq!(name("linux_5.tar"), None);
        assert_eq!(name("/"), None);
    }

    #[test]
    fn a_package_without_a_kernel_stands_for_the_one_that_it_depends_on() {
        let listed = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(stands_for(listed), Some("linux-image-6.1.0-56-cloud-amd64"));
    }

    #[test]
    fn a_package_with_a_kernel_stands_for_itself() {
        let listed =
            "linux-image-6.1.0-56-cloud-amd64\n  Depends: kmod\n |Depends: linux-initramfs-tool\n";
        assert_eq!(stands_for(listed), None);
    }
}
