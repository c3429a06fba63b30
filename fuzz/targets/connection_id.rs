//! Feeds made-up bytes to the reader of connection ids. What has to hold is in `halfopen_cli::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| halfopen_cli::fuzzing::connection_id(bytes));
