//! Owns the frames in which the machine's output crosses the serial line. Pure.

/// What one step said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The step's name.
    pub name: String,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code; `None` if the machine ended before it.
    pub code: Option<i32>,
}

/// Opens a record; the step's name follows.
pub(super) const BEGIN: &str = "@@ begin ";
/// Comes between standard output and standard error.
pub(super) const STDERR: &str = "@@ stderr";
/// Ends a record; the exit code follows.
pub(super) const END: &str = "@@ end ";

/// The records in what came over the line, also the last one if it is cut short.
pub(super) fn parse(line: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut in_stderr = false;
    for line in line.lines() {
        let line = line.trim_end_matches('\r');
        if let Some(name) = line.strip_prefix(BEGIN) {
            records.push(Record { name: name.to_owned(), ..Record::default() });
            in_stderr = false;
            continue;
        }
        let Some(record) = records.last_mut() else { continue };
        if line == STDERR {
            in_stderr = true;
        } else if let Some(code) = line.strip_prefix(END) {
            record.code = code.parse().ok();
        } else {
            let said = if in_stderr { &mut record.stderr } else { &mut record.stdout };
            said.push_str(line);
            said.push('\n');
        }
    }
    for record in &mut records {
        record.stdout = record.stdout.trim().to_owned();
        record.stderr = record.stderr.trim().to_owned();
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_step_said_is_told_apart_from_its_complaints() {
        let line = "noise\n@@ begin ls\n{\"a\":\n1}\n\n@@ stderr\nslow\r\n\n@@ end 3\n\
                    @@ begin why\n\n@@ stderr\n\n@@ end 0\n";
        let expected = [
            Record {
                name: "ls".to_owned(),
                stdout: "{\"a\":\n1}".to_owned(),
                stderr: "slow".to_owned(),
                code: Some(3),
            },
            Record { name: "why".to_owned(), code: Some(0), ..Record::default() },
        ];
        assert_eq!(parse(line), expected);
    }

    #[test]
    fn a_machine_that_ends_too_early_leaves_a_record_without_an_exit_code() {
        let records = parse("@@ begin trials\n{\"case\": \"idle\"}\n");
        assert_eq!(records.first().map(|record| record.code), Some(None));
    }
}
