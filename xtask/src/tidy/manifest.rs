//! Owns how dependency tables are read out of Cargo.toml files.
//! Read: the Cargo book, "Specifying Dependencies".

use toml::{Table, Value};

use super::tree::Tree;

/// One dependency of one crate.
#[derive(Debug)]
pub(crate) struct Dependency<'a> {
    /// Its name in the table.
    pub(crate) name: String,
    /// What the table says of it.
    pub(crate) value: Value,
    /// The line that names it, from 1; 1 if it was not found.
    pub(crate) line: usize,
    /// The Cargo.toml.
    pub(crate) path: &'a str,
}

/// Every Cargo.toml and, if it can be read, its content.
pub(crate) fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str, Option<Table>)> {
    tree.files()
        .filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml"))
        .map(|(path, text)| (path, text, text.parse().ok()))
}

/// The name of a package.
pub(crate) fn package_name(manifest: &Table) -> Option<&str> {
    manifest.get("package")?.get("name")?.as_str()
}

/// All dependencies of a crate: normal, for tests, for building, and for one target only.
pub(crate) fn dependencies<'a>(path: &'a str, text: &str, manifest: &Table) -> Vec<Dependency<'a>> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let per_target = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(per_target)
        .flat_map(|table| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|kind| table.get(kind)?.as_table())
        })
        .flat_map(|table| entries(path, text, table))
        .collect()
}

/// The workspace's dependencies.
pub(crate) fn workspace_dependencies(tree: &Tree) -> Vec<Dependency<'_>> {
    manifests(tree)
        .filter_map(|(path, text, manifest)| {
            let manifest = manifest?;
            let table = manifest.get("workspace")?.get("dependencies")?.as_table()?;
            Some(entries(path, text, table))
        })
        .flatten()
        .collect()
}

fn entries<'a>(path: &'a str, text: &str, table: &Table) -> Vec<Dependency<'a>> {
    table
        .iter()
        .map(|(name, value)| Dependency {
            name: name.clone(),
            value: value.clone(),
            line: line_naming(text, name),
            path,
        })
        .collect()
}

fn line_naming(text: &str, name: &str) -> usize {
    let names = |line: &str| {
        let key = line.trim_start().trim_start_matches('"');
        key.strip_prefix(name).is_some_and(|after| after.starts_with([' ', '.', '=', '"']))
            || line.trim_end().ends_with(&format!("dependencies.{name}]"))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}
