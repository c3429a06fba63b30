//! Owns which shared libraries a program needs. Read: ldd(1).

use std::{path::Path, process::Command};

use super::WarpError;

/// The paths of the libraries of `program` and of its dynamic linker; none for a static program.
///
/// # Errors
/// [`WarpError::Program`] where `ldd` cannot be started.
pub(super) fn libraries(program: &Path) -> Result<Vec<String>, WarpError> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.map_err(|cause| WarpError::program("ldd", &cause))?;
    // A static program is what ldd calls an error.
    Ok(paths(&String::from_utf8_lossy(&output.stdout)))
}

fn paths(listed: &str) -> Vec<String> {
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(str::to_owned);
    listed.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_dynamic_linker_are_found_and_the_kernels_own_is_not() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                      \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0b)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f0c)\n";
        assert_eq!(
            paths(listed),
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
    }

    #[test]
    fn a_static_program_has_none() {
        assert!(paths("\tnot a dynamic executable\n").is_empty());
        assert!(paths("").is_empty());
    }
}
