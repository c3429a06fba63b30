//! Owns `cargo xtask api`: the public items of the library, one a line, so that a change of the interface
//! shows in a review. Reads the source: every item that begins with `pub` there is reachable, since the
//! lint `unreachable_pub` is on.

use std::{collections::BTreeSet, fs, io, path::Path, process::ExitCode};

/// Writes docs/library/api.txt, or compares it.
pub(crate) fn run(check: bool) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = root.join(PAGE);
    let listing = match listing(&root.join("crates/halfopen/src")) {
        Ok(listing) => listing,
        Err(error) => {
            eprintln!("api: cannot read the library: {error}");
            return ExitCode::FAILURE;
        }
    };
    let is_same = fs::read_to_string(&page).is_ok_and(|found| found == listing);
    match (check, is_same) {
        (_, true) => println!("api: {PAGE} is what the library has"),
        (true, false) => {
            eprintln!(
                "api: {PAGE} differs from the library; run `cargo xtask api` and look at the difference"
            );
            return ExitCode::FAILURE;
        }
        (false, false) => {
            if let Err(error) = fs::write(&page, listing) {
                eprintln!("api: cannot write {PAGE}: {error}");
                return ExitCode::FAILURE;
            }
            println!("api: wrote {PAGE}");
        }
    }
    ExitCode::SUCCESS
}

const PAGE: &str = "docs/library/api.txt";

/// All public items below `directory`, sorted.
fn listing(directory: &Path) -> io::Result<String> {
    let mut lines = BTreeSet::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                lines.extend(items(&fs::read_to_string(path)?));
            }
        }
    }
    Ok(lines.into_iter().map(|line| line + "\n").collect())
}

/// The public items of one file, each with the type that it belongs to.
fn items(source: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut owner = String::new();
    let mut item = String::new();
    for line in source.lines() {
        let text = line.trim();
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let is_top = !line.starts_with(char::is_whitespace);
        if is_top
            && ["impl", "pub struct", "pub enum", "pub trait"]
                .iter()
                .any(|word| text.starts_with(word))
        {
            owner = text.trim_end_matches([' ', '{']).to_owned();
        } else if line == "}" {
            // What follows belongs to nothing: the arms of a function's match are no variants.
            owner.clear();
        }
        if item.is_empty() && !begins(text, &owner) {
            continue;
        }
        if !item.is_empty() {
            item.push(' ');
        }
        item.push_str(text);
        if text.ends_with(['{', ';', ',']) && balanced(&item) {
            let told = item.trim_end_matches([' ', '{', ';', ',']);
            let inside = line.starts_with("    ");
            items.push(if inside { format!("{owner} :: {told}") } else { told.to_owned() });
            item.clear();
        }
    }
    items
}

/// Public items, functions of traits, and variants of public enums.
fn begins(text: &str, owner: &str) -> bool {
    // Of what is passed on, only that of another crate is not listed where it is defined.
    let is_public = text.starts_with("pub ")
        && (!text.starts_with("pub use") || text.starts_with("pub use halfopen_core"));
    let of_trait = owner.starts_with("pub trait") && text.starts_with("fn ");
    let is_variant = owner.starts_with("pub enum")
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.ends_with([',', '{']);
    is_public || of_trait || is_variant
}

fn balanced(item: &str) -> bool {
    let count = |one: char| item.chars().filter(|c| *c == one).count();
    count('(') == count(')') && (!item.starts_with("pub use") || item.ends_with(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_told_with_their_owner_and_private_ones_not_at_all() {
        let source = "pub struct A {\n    b: u8,\n    pub c: u8,\n}\nimpl A {\n    pub fn d(\n        \
                      &self,\n    ) -> u8 {\n        0\n    }\n    fn e() {}\n}\npub(crate) fn f() {}\n\
                      pub enum G {\n    H,\n}\nfn j() {\n    match k {\n        None => 0,\n    }\n}\n#[cfg(test)]\nmod tests {\n    pub fn i() {}\n}\n";
        let told = items(source);
        assert_eq!(
            told,
            [
                "pub struct A",
                "pub struct A :: pub c: u8",
                "impl A :: pub fn d( &self, ) -> u8",
                "pub enum G",
                "pub enum G :: H"
            ]
        );
    }

    #[test]
    fn the_listing_of_the_documentation_is_what_the_library_has() {
        assert_eq!(run(true), ExitCode::SUCCESS);
    }
}
