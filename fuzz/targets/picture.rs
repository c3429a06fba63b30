//! Feeds made-up bytes to the reader of answers of sock_diag, judged, told and written as JSON. What has to hold is in `halfopen_cli::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| halfopen_cli::fuzzing::picture(bytes));
