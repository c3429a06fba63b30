//! Owns what a line for the shell tells of the programs that it starts. Pure, and no shell: a word
//! that is not a program does no harm, and one that is hidden is named by the user.
//! Read: the POSIX shell command language, execve(2) on interpreters.

/// The words of `line` that could name programs, without the shell's own signs around them.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_sign = |sign: char| sign.is_whitespace() || ";|&()<>'\"`=".contains(sign);
    line.split(is_sign).filter(|word| !word.is_empty() && !word.starts_with(['-', '$', '#']))
}

/// The words of the first line of a script, if `bytes` are one.
pub(super) fn interpreter(bytes: &[u8]) -> Option<String> {
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_free_of_the_shells_signs() {
        let line =
            "PORT=1 redis-server --port 6379 >/tmp/log && sh -c 'exec nc -l $SERVER'; (true)";
        let expected =
            ["PORT", "1", "redis-server", "6379", "/tmp/log", "sh", "exec", "nc", "true"];
        assert_eq!(words(line).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_script_names_its_interpreter_and_a_program_none() {
        assert_eq!(
            interpreter(b"#!/usr/bin/env python3\nprint()").as_deref(),
            Some("/usr/bin/env python3")
        );
        assert_eq!(interpreter(b"#! /bin/sh").as_deref(), Some("/bin/sh"));
        assert_eq!(interpreter(b"\x7fELF"), None);
        assert_eq!(interpreter(b""), None);
    }
}
