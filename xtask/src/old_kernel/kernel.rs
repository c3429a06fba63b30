//! Owns where the kernel comes from: a Debian package that is downloaded and unpacked, never installed.
//! Read: apt-get(8), apt-cache(8), dpkg-deb(1).

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// A kernel that can be booted.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The package that holds it.
    pub(super) package: String,
    /// What `uname -r` says there.
    pub(super) release: String,
    /// The compressed image.
    pub(super) image: PathBuf,
    /// Its directory below /lib/modules.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// The kernel of `package`, or of the package that this one stands for, unpacked below `place`.
    pub(super) fn fetch(package: &str, place: &Path) -> Result<Self> {
        let listed = output("apt-cache", &["depends", "--important", package], place)
            .with_context(|| format!("look {package} up (apt-get update brings new lists)"))?;
        let package = stands_for(&listed).unwrap_or(package).to_owned();
        let unpacked = place.join(&package);
        if !unpacked.join("boot").is_dir() {
            download(&package, place)?;
            let archive = only(place, |name| {
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            })?;
            println!("old-kernel: unpack {}", archive.display());
            let [archive, to] = [&archive, &unpacked].map(|path| path.as_os_str());
            output("dpkg-deb", &[OsStr::new("--extract"), archive, to], place)?;
        }
        let image = only(&unpacked.join("boot"), |name| name.starts_with("vmlinuz-"))?;
        let modules = only(&unpacked.join("lib/modules"), |_| true)?;
        let release = modules.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        Ok(Self { package, release, image, modules })
    }
}

fn download(package: &str, place: &Path) -> Result<()> {
    println!("old-kernel: download {package} (not installed)");
    // The download belongs to whoever runs this, so apt's own user has no business in it.
    let words = ["download", "--quiet", "-o", "APT::Sandbox::User=root", package];
    output("apt-get", &words, place).map(drop)
}

/// The kernel package that a package like `linux-image-cloud-amd64` depends on, in the words of `apt-cache depends`.
fn stands_for(listed: &str) -> Option<&str> {
    listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
}

/// The one entry of `directory` that fits.
fn only(directory: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("look into {}", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("look into {}", directory.display()))?;
        if entry.file_name().to_str().is_some_and(&fits) {
            found.push(entry.path());
        }
    }
    // Of several downloads of one package the newest has the highest version, as a rule.
    found.sort();
    match found.pop() {
        Some(found) => Ok(found),
        None => bail!("{} holds no such file", directory.display()),
    }
}

/// What a command writes to its standard output.
pub(super) fn output<S: AsRef<OsStr>>(program: &str, words: &[S], place: &Path) -> Result<String> {
    let output = Command::new(program)
        .current_dir(place)
        .env("LC_ALL", "C")
        .args(words)
        .output()
        .with_context(|| format!("start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
