//! The server binary: listeners, configuration, signals.

fn main() {}
