//! Owns which kernel modules the machine needs, and in which order they go in.
//! Read: modinfo(8); the section `.modinfo` of a module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// A module, ready to be inserted.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// The object file.
    pub(super) bytes: Vec<u8>,
}

/// The modules `wanted` and those that they depend on, each after what it depends on. What this
/// kernel has built in is left out.
pub(super) fn in_order(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = Vec::new();
    collect(&directory.join("kernel"), &mut files)?;
    let built_in = fs::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
    let mut found = Vec::new();
    for name in wanted {
        add(name, &files, &built_in, &mut found)?;
    }
    Ok(found)
}

fn add(name: &str, files: &[PathBuf], built_in: &str, found: &mut Vec<Module>) -> Result<()> {
    if found.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(file) = files.iter().find(|file| module_name(file).as_deref() == Some(name)) else {
        let is_built_in =
            built_in.lines().any(|line| module_name(Path::new(line)).as_deref() == Some(name));
        ensure!(is_built_in, "this kernel has no module {name}");
        return Ok(());
    };
    let bytes = read(file)?;
    // Modules do not depend on each other in circles: insmod could not begin.
    for dependency in dependencies(&bytes) {
        add(&dependency, files, built_in, found)?;
    }
    found.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("look into {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("look into {}", directory.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The name that the kernel gives the module: files may have hyphens where it has underscores.
fn module_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let (stem, _) = name.split_once(".ko")?;
    Some(stem.replace('-', "_"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let reading = || format!("read {}", file.display());
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => fs::read(file).with_context(reading),
        Some("xz") => {
            let output =
                Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output()?;
            ensure!(output.status.success(), "{}: xz failed", reading());
            Ok(output.stdout)
        }
        _ => bail!("{}: it is compressed in an unknown way", reading()),
    }
}

/// The names in `depends=` of a module's `.modinfo`, where every entry ends with a zero byte.
fn dependencies(module: &[u8]) -> Vec<String> {
    let entries = module.split(|byte| *byte == 0);
    let mut lists = entries.filter_map(|entry| entry.strip_prefix(b"depends="));
    let list = lists.next().map(String::from_utf8_lossy).unwrap_or_default();
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_in_the_section_of_facts_about_the_module() {
        let module = b"\x7fELF\0\0license=GPL\0depends=inet-diag,libcrc32c\0name=tcp_diag\0";
        assert_eq!(dependencies(module), ["inet_diag", "libcrc32c"]);
        assert!(dependencies(b"depends=\0").is_empty());
        assert!(dependencies(b"\x7fELF").is_empty());
    }

    #[test]
    fn a_file_is_named_as_the_kernel_names_the_module() {
        let name = |file: &str| module_name(Path::new(file));
        assert_eq!(name("kernel/net/ipv4/inet-diag.ko.xz").as_deref(), Some("inet_diag"));
        assert_eq!(name("veth.ko").as_deref(), Some("veth"));
        assert_eq!(name("modules.order"), None);
    }
}
