//! Progress lines on standard error, so that a run of minutes says what it does; results go to standard output.

/// Prints one line.
#[expect(clippy::print_stderr, reason = "this is the one place where the tool talks while it works")]
pub fn note(line: impl std::fmt::Display) {
    eprintln!("{line}");
}
