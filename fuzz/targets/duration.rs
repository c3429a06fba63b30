//! Feeds made-up bytes to the reader of lengths of time on the command line. What has to hold is in `halfopen_cli::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| halfopen_cli::fuzzing::duration(bytes));
