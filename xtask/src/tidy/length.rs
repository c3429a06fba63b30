//! Owns how long files and functions may be.
//! Functions are found by counting braces (see `source`), which is plenty for code that rustfmt wrote.

use super::{
    finding::Finding,
    source::{Source, item_end, line_of},
    tree::Tree,
};

/// Lines of a file without its tests: about what one can keep in mind.
const FILE_MAX: usize = 600;

/// Lines of a function with its signature: what a screen shows.
const FUNCTION_MAX: usize = 70;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().flat_map(|source| file(&source).into_iter().chain(functions(&source))).collect()
}

fn file(source: &Source<'_>) -> Option<Finding> {
    if source.is_all_tests() {
        return None;
    }
    let tests: usize = source.test_lines().into_iter().map(|lines| lines.len()).sum();
    let lines = source.text.lines().count().saturating_sub(tests);
    (lines > FILE_MAX).then(|| Finding {
        path: source.path.to_owned(),
        line: 1,
        what: format!("{lines} lines without its tests, {FILE_MAX} are allowed"),
        why: "a file holds one idea",
        remedy: "move the second idea to a file of its own".to_owned(),
    })
}

fn functions(source: &Source<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in source.words("fn") {
        let Some(name) = name_after(&source.code, at) else { continue };
        let first = line_of(&source.code, at);
        let lines = line_of(&source.code, item_end(&source.code, at)) + 1 - first;
        if lines > FUNCTION_MAX {
            findings.push(Finding {
                path: source.path.to_owned(),
                line: first + 1,
                what: format!("`{name}` has {lines} lines, {FUNCTION_MAX} are allowed"),
                why: "what does not fit a screen is not read as a whole",
                remedy: "keep the decisions here and move the steps to functions below".to_owned(),
            });
        }
    }
    findings
}

/// The name of the function whose `fn` stands at `at`; `None` for a function pointer's type.
fn name_after(code: &str, at: usize) -> Option<&str> {
    let rest = code.get(at + 2..)?.trim_start();
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    a();\n".repeat(lines - 2))
    }

    #[test]
    fn seventy_lines_are_a_function_and_seventy_one_are_not() {
        let text = function("a", FUNCTION_MAX) + &function("b", FUNCTION_MAX + 1);
        let tree = Tree::from([("a.rs", text.as_str())]);
        assert_eq!(places(&check(&tree)), ["a.rs:71"]);
    }

    #[test]
    fn types_of_functions_and_declarations_have_no_length() {
        let text =
            format!("type A = fn(u8) -> u8;\ntrait B {{\n    fn b();\n}}\n{}", "\n".repeat(99));
        assert_eq!(check(&Tree::from([("a.rs", text.as_str())])), []);
    }

    #[test]
    fn tests_do_not_count_towards_the_length_of_a_file() {
        let code = "const A: u8 = 1;\n".repeat(FILE_MAX);
        let tests = "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n";
        let (fits, long) = (format!("{code}{tests}"), format!("{code}\n{tests}"));
        let tree = Tree::from([
            ("fits.rs", fits.as_str()),
            ("long.rs", long.as_str()),
            ("long/tests.rs", long.as_str()),
        ]);
        assert_eq!(places(&check(&tree)), ["long.rs:1"]);
    }
}
