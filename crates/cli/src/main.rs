//! The binary `halfopen`. Everything is in the library of the same package.

fn main() -> std::process::ExitCode {
    halfopen_cli::main()
}
