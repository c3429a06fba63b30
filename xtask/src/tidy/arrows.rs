//! Owns the arrows between the crates: which of ours may import which.
//! Read: ARCHITECTURE.md.

use super::{
    finding::Finding,
    manifest::{dependencies, manifests, package_name},
    tree::Tree,
};

/// Each crate and what of ours it may import, also in its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("halfopen-core", &[]),
    ("halfopen-tunnel", &[]),
    ("halfopen-sys", &["halfopen-core"]),
    ("halfopen", &["halfopen-core", "halfopen-sys"]),
    ("halfopen-relay", &["halfopen-core", "halfopen-sys", "halfopen-tunnel", "halfopen"]),
    ("halfopen-lab", &["halfopen-core", "halfopen-sys"]),
    ("halfopen-conformance", &["halfopen-lab"]),
    (
        "halfopen-cli",
        &[
            "halfopen-core",
            "halfopen-sys",
            "halfopen",
            "halfopen-relay",
            "halfopen-tunnel",
            "halfopen-lab",
            "halfopen-conformance",
        ],
    ),
    ("halfopen-e2e", &["halfopen-core", "halfopen-sys", "halfopen-lab", "halfopen-cli"]),
    ("halfopen-fuzz", &["halfopen-core", "halfopen-sys", "halfopen-lab", "halfopen-cli"]),
    // A relay of somebody else's that docs/conformance.md compares.
    ("realm", &[]),
    ("xtask", &["halfopen-core", "halfopen-lab", "halfopen-conformance", "halfopen-cli"]),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text, manifest) in manifests(tree) {
        let Some(manifest) = manifest else {
            findings.push(finding(path, 1, "it is not valid TOML".to_owned(), "correct it"));
            continue;
        };
        let Some(package) = package_name(&manifest) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package) else {
            let remedy = "give it a line in xtask/src/tidy/arrows.rs and in ARCHITECTURE.md";
            findings.push(finding(path, 1, format!("no arrow is drawn for `{package}`"), remedy));
            continue;
        };
        for found in dependencies(path, text, &manifest) {
            let ours = ARROWS.iter().any(|(name, _)| *name == found.name);
            if ours && !allowed.contains(&found.name.as_str()) {
                let what = format!("`{package}` imports `{}`", found.name);
                findings.push(finding(
                    path,
                    found.line,
                    what,
                    "move the code to where it is needed",
                ));
            }
        }
    }
    findings
}

fn finding(path: &str, line: usize, what: String, remedy: &str) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        what,
        why: "a crate exists only for what it must not touch (ARCHITECTURE.md)",
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn the_core_imports_nothing_of_ours_in_any_table() {
        let package = "[package]\nname = \"halfopen-core\"\n";
        for table in ["dependencies", "dev-dependencies", "target.'cfg(unix)'.dependencies"] {
            let text =
                format!("{package}[{table}]\nserde = \"1\"\nhalfopen-sys.workspace = true\n");
            let tree = Tree::from([("crates/core/Cargo.toml", text.as_str())]);
            assert_eq!(places(&check(&tree)), ["crates/core/Cargo.toml:5"], "{table}");
        }
    }

    #[test]
    fn the_shell_may_import_the_core() {
        let text =
            "[package]\nname = \"halfopen-sys\"\n[dependencies]\nhalfopen-core.workspace = true\n";
        assert_eq!(check(&Tree::from([("crates/sys/Cargo.toml", text)])), []);
    }

    #[test]
    fn a_crate_without_arrows_is_named() {
        let text = "[package]\nname = \"halfopen-new\"\n";
        let findings = check(&Tree::from([("crates/new/Cargo.toml", text)]));
        assert_eq!(places(&findings), ["crates/new/Cargo.toml:1"]);
    }
}
