//! Owns which kernel modules the machine needs, and in which order they go in.
//! Read: modinfo(8); the section `.modinfo` of a module.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::WarpError;

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
///
/// # Errors
/// [`WarpError::NoModule`] for what this kernel does not have, [`WarpError::File`] for what cannot be read.
pub(super) fn in_order(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>, WarpError> {
    let mut files = Vec::new();
    collect(&directory.join("kernel"), &mut files)?;
    let built_in = fs::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
    let mut found = Vec::new();
    for name in wanted {
        add(name, &files, &built_in, &mut found)?;
    }
    Ok(found)
}

fn add(
    name: &str,
    files: &[PathBuf],
    built_in: &str,
    found: &mut Vec<Module>,
) -> Result<(), WarpError> {
    if found.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(file) = files.iter().find(|file| module_name(file).as_deref() == Some(name)) else {
        let is_built_in =
            built_in.lines().any(|line| module_name(Path::new(line)).as_deref() == Some(name));
        let missing = || WarpError::NoModule { name: name.to_owned() };
        return is_built_in.then_some(()).ok_or_else(missing);
    };
    let bytes = read(file)?;
    // Modules do not depend on each other in circles: insmod could not begin.
    for dependency in dependencies(&bytes) {
        add(&dependency, files, built_in, found)?;
    }
    found.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), WarpError> {
    let refused = |cause| WarpError::file(directory, cause);
    for entry in fs::read_dir(directory).map_err(refused)? {
        let entry = entry.map_err(refused)?;
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

fn read(file: &Path) -> Result<Vec<u8>, WarpError> {
    let refused = |cause| WarpError::file(file, cause);
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => fs::read(file).map_err(refused),
        Some("xz") => {
            let xz = Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output();
            let output = xz.map_err(refused)?;
            let failed = || WarpError::program("xz", &String::from_utf8_lossy(&output.stderr));
            output.status.success().then(|| output.stdout.clone()).ok_or_else(failed)
        }
        _ => Err(refused(io::Error::other("it is compressed in an unknown way"))),
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
