//! Owns what every dependency owes: a line in docs/dependencies.md, no default features, and its
//! version in one place.

use toml::Value;

use super::{
    finding::Finding,
    manifest::{dependencies, manifests, workspace_dependencies},
    tree::Tree,
};

const PAGE: &str = "docs/dependencies.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let page = tree.text(PAGE).unwrap_or_default();
    for found in workspace_dependencies(tree) {
        if found.value.get("path").is_some() {
            continue;
        }
        let mut report = |what: String, why: &'static str, remedy: String| {
            let path = found.path.to_owned();
            findings.push(Finding { path, line: found.line, what, why, remedy });
        };
        let name = &found.name;
        if !page.lines().any(|line| line.starts_with(&format!("| `{name}`"))) {
            report(
                format!("`{name}` has no line in {PAGE}"),
                "what somebody else's code does for us has to be worth it",
                format!(
                    "add a row that begins with | `{name}`: its job, and why not 50 lines of ours"
                ),
            );
        }
        if found.value.get("default-features").and_then(Value::as_bool) != Some(false) {
            report(
                format!("`{name}` comes with its default features"),
                "features that nobody named bring code that nobody wanted",
                "set default-features = false and name the features that are used".to_owned(),
            );
        }
    }
    for (path, text, manifest) in manifests(tree) {
        let Some(manifest) = manifest else { continue };
        for found in dependencies(path, text, &manifest) {
            let inherited = found.value.get("workspace").and_then(Value::as_bool) == Some(true);
            if !inherited {
                findings.push(Finding {
                    path: path.to_owned(),
                    line: found.line,
                    what: format!("`{}` has a version of its own", found.name),
                    why: "two crates that name versions will name two versions",
                    remedy: "name it in [workspace.dependencies] and write workspace = true here"
                        .to_owned(),
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn a_dependency_without_a_line_on_the_page_is_found() {
        let manifest = "[workspace.dependencies]\nours = { path = \"x\" }\n\
                        serde = { version = \"1\", default-features = false }\n\
                        libc = { version = \"1\", default-features = false }\n";
        let tree = Tree::from([("Cargo.toml", manifest), (PAGE, "| `serde` | JSON |\n")]);
        assert_eq!(places(&check(&tree)), ["Cargo.toml:4"]);
    }

    #[test]
    fn default_features_are_found() {
        let tree = Tree::from([
            ("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
            (PAGE, "| `serde` | JSON |\n"),
        ]);
        assert_eq!(places(&check(&tree)), ["Cargo.toml:2"]);
    }

    #[test]
    fn a_version_outside_the_workspace_table_is_found() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\nserde = \"1\"\n\
                        libc = { workspace = true, features = [\"std\"] }\n";
        let tree = Tree::from([("crates/a/Cargo.toml", manifest)]);
        assert_eq!(places(&check(&tree)), ["crates/a/Cargo.toml:4"]);
    }
}
