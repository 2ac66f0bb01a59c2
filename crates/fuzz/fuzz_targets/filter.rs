//! See the target of this name in `quiver_testkit::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| quiver_testkit::fuzz::run_one("filter", input));
