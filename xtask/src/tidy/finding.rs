//! Owns Finding: one place that is not as it should be, and how it is printed.

use std::fmt;

/// One place that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, from the project's root.
    pub(crate) path: String,
    /// The line, from 1.
    pub(crate) line: usize,
    /// What is there, or is missing.
    pub(crate) what: String,
    /// Why that matters.
    pub(crate) why: &'static str,
    /// What to do.
    pub(crate) remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, why, remedy } = self;
        write!(f, "{path}:{line}: {what}\n  because: {why}\n  do: {remedy}")
    }
}

/// Where the findings are, as `path:line`: what the checks' own tests compare.
#[cfg(test)]
pub(crate) fn places(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|found| format!("{}:{}", found.path, found.line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_why_and_what_to_do() {
        let finding = Finding {
            path: "a.rs".to_owned(),
            line: 3,
            what: "a long function".to_owned(),
            why: "nobody reads it",
            remedy: "split it".to_owned(),
        };
        assert_eq!(
            finding.to_string(),
            "a.rs:3: a long function\n  because: nobody reads it\n  do: split it"
        );
        assert_eq!(places(&[finding]), ["a.rs:3"]);
    }
}
