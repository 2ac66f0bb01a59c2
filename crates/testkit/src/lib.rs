//! Test support: a real server as oracle, differential and replay drivers.
